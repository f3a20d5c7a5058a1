//! An edge device's rules: read once for each definition, asked about every sample.
//!
//! A rule that matches makes a message for the cloud, each time, and runs its command on this device. One that cannot be
//! read is said once and shown in the status; the others go on.

use std::sync::Arc;

use edgeplug_protocol::definition::{Definition, Rule};
use edgeplug_protocol::rules::Condition;
use edgeplug_protocol::telemetry::{self, Body, ValidSample};
use edgeplug_protocol::template::Template;
use edgeplug_protocol::time::Timestamp;

use crate::Step;
use crate::status::RuleTrouble;

/// Rules evaluated; portals hold a few for each template.
const RULES_MAX: usize = 256;
/// Of a condition that is not understood, what is shown.
const SHOWN_CHARS_MAX: usize = 200;

#[derive(Debug, Default)]
pub(crate) struct Rules {
    /// As the cloud gave them.
    given: Vec<Rule>,
    rules: Vec<(Rule, Condition)>,
    pub(crate) not_understood: Vec<RuleTrouble>,
}

/// A rule that matched.
#[derive(Debug)]
pub(crate) struct RuleMatch {
    pub(crate) body: Body,
    pub(crate) command: Option<LocalCommand>,
}

/// A command that a rule gives.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LocalCommand {
    /// The child whose sample matched; `None` for the device itself.
    pub(crate) device: Option<String>,
    pub(crate) text: String,
}

impl Rules {
    /// The rules of a definition, the ones before where they are the same. None on a device that is no edge device.
    pub(crate) fn of(definition: &Definition, before: &Arc<Self>) -> Arc<Self> {
        let given = if definition.edge { definition.rules.as_slice() } else { &[] };
        if before.given == given {
            return Arc::clone(before);
        }
        let mut rules = Self { given: given.to_vec(), ..Self::default() };
        if given.len() > RULES_MAX {
            tracing::warn!(
                rules = given.len(),
                max = RULES_MAX,
                "there are too many edge rules; the last are left out"
            );
        }
        for rule in given.iter().take(RULES_MAX) {
            match Condition::parse(&rule.condition) {
                Ok(condition) => rules.rules.push((rule.clone(), condition)),
                Err(error) => {
                    let shown = |text: &str| text.chars().take(SHOWN_CHARS_MAX).collect::<String>();
                    let (guid, condition, reason) = (shown(&rule.guid), shown(&rule.condition), error.to_string());
                    tracing::warn!(guid, condition, reason, "an edge rule is not understood and left out");
                    rules.not_understood.push(RuleTrouble { guid, condition, reason });
                }
            }
        }
        Arc::new(rules)
    }

    pub(crate) fn len(&self) -> usize {
        self.rules.len()
    }

    /// Those that match a sample.
    pub(crate) fn matches<'a>(
        &'a self,
        sample: &'a ValidSample<'_>,
        template: &'a Template,
        at: &'a Timestamp,
        step: &'a Step<'_>,
    ) -> impl Iterator<Item = RuleMatch> + 'a {
        self.rules.iter().filter_map(move |(rule, condition)| {
            let matched = condition.evaluate(sample)?;
            let body = telemetry::rule_match(template, &step.world.sdk, rule, sample, &matched, at)?;
            let is_own = template.own_device().is_some_and(|own| own.id == sample.device.id);
            let command = rule
                .command
                .as_ref()
                .filter(|text| !text.is_empty())
                .map(|text| LocalCommand { device: (!is_own).then(|| sample.device.id.clone()), text: text.clone() });
            Some(RuleMatch { body, command })
        })
    }
}
