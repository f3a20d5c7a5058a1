//! Whether what was seen in a step is what was recorded.
//!
//! Order counts among readings (a report before its fault), among requests and among messages of one class; messages of
//! a `window` step are a multiset, because upstream has a timer for each. A rule's local command comes before its
//! message. Acknowledgements that the device makes by its own rules are not compared.

use std::collections::BTreeMap;

use edgeplug_protocol::version::Version;
use serde_json::Value;

use crate::attributes;
use crate::case::{Loose, Op};
use crate::compare::{self, Rules};
use crate::device::NOT_CONNECTED;
use crate::happening::{Class, Happening};

/// What the comparison of one step needs to know.
pub(crate) struct Judge<'a> {
    /// Of the case.
    pub(crate) version: Version,
    /// Of the case.
    pub(crate) loose: Loose,
    /// Every tag of the case.
    pub(crate) tags: &'a [String],
    /// Local commands by rule guid.
    pub(crate) rules: &'a [(String, String)],
    /// What was done; `None` for connecting.
    pub(crate) op: Option<&'a Op>,
    /// Desired properties as the hub has them after the step.
    pub(crate) twin: Value,
    /// What plugins knew before the step.
    pub(crate) was_connected: bool,
    /// Whether the application registered callbacks.
    pub(crate) has_callback: bool,
    /// Whether the application is done.
    pub(crate) disposed: bool,
}

/// One difference.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Difference {
    /// In a few words.
    pub(crate) what: String,
    /// What was recorded, if anything.
    pub(crate) expected: Option<Happening>,
    /// What came, if anything.
    pub(crate) got: Option<Happening>,
}

/// What is compared with what: order counts within a group, but for those that say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Http,
    Registration,
    Publish(Class),
    TwinReport,
    TwinGet,
    Twin,
    /// Several rules of one step have no order.
    Command,
    Firmware,
    Child,
    Error,
    Result,
}

impl Judge<'_> {
    /// Everything that differs.
    pub(crate) fn compare(&self, expected: Vec<Happening>, seen: Vec<Happening>) -> Vec<Difference> {
        let mut differences = self.commands_that_come_late(&seen);
        differences.extend(self.connection_differs(&expected, &seen));
        let mut groups: BTreeMap<Group, (Vec<Happening>, Vec<Happening>)> = BTreeMap::new();
        for happening in seen {
            if let Some(group) = group(&happening).filter(|_| self.is_compared(&happening, &expected)) {
                groups.entry(group).or_default().1.push(happening);
            }
        }
        for happening in expected {
            let is_compared = match happening {
                Happening::Publish { class: Class::Question, .. } => !matches!(self.op, Some(Op::GetAttributes)),
                Happening::TwinGet => matches!(self.op, Some(Op::GetTwins)),
                // A bad attribute stops the SDK; ours goes on with the others.
                Happening::Error(ref code) if self.op.is_none() => code != "07" && code != "08",
                _ => true,
            };
            if let Some(group) = group(&happening).filter(|_| is_compared) {
                groups.entry(group).or_default().0.push(happening);
            }
        }
        for (group, (mut expected, mut seen)) in groups {
            if group == Group::Registration {
                // Ours leaves the portal ten minutes to learn of a registration before it makes another.
                expected.dedup();
                seen.dedup();
            }
            let has_order = match group {
                Group::Command => false,
                Group::Publish(_) => !matches!(self.op, Some(Op::Window)),
                _ => true,
            };
            differences.extend(self.group_differs(expected, seen, has_order));
        }
        differences
    }

    fn group_differs(
        &self,
        mut expected: Vec<Happening>,
        mut seen: Vec<Happening>,
        has_order: bool,
    ) -> Vec<Difference> {
        if self.loose.edge_faults {
            seen.retain(|got| !is_fault(got) || expected.iter().any(|want| self.difference(want, got).is_none()));
        }
        if !has_order {
            expected.retain(|want| match seen.iter().position(|got| self.difference(want, got).is_none()) {
                Some(found) => {
                    seen.remove(found);
                    false
                }
                None => true,
            });
        }
        let mut seen = seen.into_iter();
        let mut differences = Vec::new();
        for want in expected {
            let got = seen.next();
            let what = match &got {
                Some(got) => self.difference(&want, got),
                None => Some("missing".to_owned()),
            };
            differences.extend(what.map(|what| Difference { what, expected: Some(want), got }));
        }
        let extra = |got| Difference { what: "not expected".to_owned(), expected: None, got: Some(got) };
        differences.extend(seen.map(extra));
        differences
    }

    /// Leaves out what no recorded case compares, or this one does not.
    fn is_compared(&self, got: &Happening, expected: &[Happening]) -> bool {
        let expects = |group_wanted| expected.iter().any(|want| group(want) == Some(group_wanted));
        match got {
            Happening::Publish { class: Class::Ack, .. } => {
                matches!(self.op, Some(Op::Ack { .. } | Op::AckOf { .. }))
            }
            // Timers of the one run on while the other's are waited for.
            Happening::Publish { class: Class::Heartbeat, .. } => !matches!(self.op, Some(Op::Window)),
            Happening::Publish { class: Class::EdgeReport, .. } => !matches!(self.op, Some(Op::HeartbeatTick)),
            Happening::TwinGet => matches!(self.op, Some(Op::GetTwins)),
            Happening::TwinPatch { .. } | Happening::TwinFull { .. } if !self.has_callback => false,
            Happening::TwinPatch { .. } => self.op.is_some(),
            Happening::TwinFull { desired, .. } => match self.op {
                Some(Op::TwinFull(_)) => true,
                // After a patch that says nothing new the device may look for itself.
                Some(Op::TwinPatch(_)) => expects(Group::Twin) || !compare::same(&self.twin, desired, Rules::default()),
                _ => expects(Group::Twin),
            },
            // Whether a device that is done refuses or does nothing is a matter of its interface.
            Happening::Error(_) if self.op.is_none() || self.disposed => expects(Group::Error),
            // Ours lists what it knows where the 2.1 SDK asks the cloud.
            Happening::Publish { class: Class::Question, .. } => !matches!(self.op, Some(Op::GetAttributes)),
            Happening::Result(_) => expects(Group::Result),
            _ => true,
        }
    }

    /// Where two happenings differ.
    fn difference(&self, expected: &Happening, got: &Happening) -> Option<String> {
        match (expected, got) {
            (
                Happening::Publish { topic, class, body },
                Happening::Publish { topic: got_topic, class: got_class, body: got_body },
            ) => {
                let rules = Rules {
                    rounding: *class == Class::EdgeReport,
                    text_as_number: self.loose.fault_text && is_fault(expected),
                    tags: self.loose.cv_key.then_some(self.tags),
                };
                match () {
                    () if topic != got_topic => Some("another topic".to_owned()),
                    () if class != got_class => Some("another kind of message".to_owned()),
                    () => compare::difference(body, got_body, rules),
                }
            }
            (Happening::TwinReport(body), Happening::TwinReport(got)) => {
                compare::difference(body, got, Rules::default())
            }
            (
                Happening::Http { method, path, body },
                Happening::Http { method: got_method, path: got_path, body: got_body },
            ) if (method, path) == (got_method, got_path) => compare::difference(body, got_body, Rules::default()),
            // After a gap in the versions the whole document is as good as the patch.
            (Happening::TwinPatch { version, .. }, Happening::TwinFull { desired, version: got_version }) => {
                twin_difference((&self.twin, *version), (desired, *got_version))
            }
            (
                Happening::TwinPatch { desired, version },
                Happening::TwinPatch { desired: got, version: got_version },
            )
            | (Happening::TwinFull { desired, version }, Happening::TwinFull { desired: got, version: got_version }) => {
                twin_difference((desired, *version), (got, *got_version))
            }
            (Happening::Error(_), Happening::Error(got)) if got == NOT_CONNECTED => None,
            // The 2.1 SDK calls every deletion a success.
            (Happening::Child { created: false, .. }, Happening::Child { created: false, .. }) => None,
            (Happening::Result(expected), Happening::Result(got)) => {
                let expected = match self.op {
                    Some(Op::GetAttributes) if self.version == Version::V21 => attributes::of_groups(expected),
                    Some(Op::GetAttributes) => attributes::normal(expected),
                    _ => expected.clone(),
                };
                compare::difference(&expected, got, Rules::default())
            }
            _ => (expected != got).then(|| "another".to_owned()),
        }
    }

    /// The state after the step counts: upstream opens a new connection beside the old one where we close that first.
    fn connection_differs(&self, expected: &[Happening], seen: &[Happening]) -> Option<Difference> {
        let last = |happenings: &[Happening]| {
            happenings.iter().rev().find_map(|happening| match happening {
                Happening::Connection(connected) => Some(*connected),
                _ => None,
            })
        };
        let wanted = last(expected).unwrap_or(self.was_connected);
        let got = last(seen).unwrap_or(self.was_connected);
        let is_judged = self.has_callback && (self.op.is_some() || last(expected).is_some());
        (is_judged && wanted != got).then(|| Difference {
            what: "what plugins are told of the connection".to_owned(),
            expected: Some(Happening::Connection(wanted)),
            got: Some(Happening::Connection(got)),
        })
    }

    /// Rule matches that were published before the command they trigger was handed over.
    fn commands_that_come_late(&self, seen: &[Happening]) -> Vec<Difference> {
        let mut differences = Vec::new();
        for (index, happening) in seen.iter().enumerate() {
            let Happening::Publish { class: Class::RuleMatch, body, .. } = happening else { continue };
            let entries = body.get("d").and_then(Value::as_array).into_iter().flatten();
            let guids = entries.filter_map(|entry| entry.get("rg")?.as_str());
            let commands = guids.filter_map(|guid| self.rules.iter().find(|(rule, _)| rule == guid));
            let is_late = |command: &str| {
                let mut earlier = seen.iter().take(index);
                !earlier.any(|earlier| matches!(earlier, Happening::Command { text, .. } if text == command))
            };
            if self.has_callback && commands.into_iter().any(|(_, command)| !command.is_empty() && is_late(command)) {
                let what = "published before its local command was handed over".to_owned();
                differences.push(Difference { what, expected: None, got: Some(happening.clone()) });
            }
        }
        differences
    }
}

/// What came of a step, in lines for a reader.
pub(crate) fn render(title: &str, differences: &[Difference], remarks: &[String]) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let show = |happening: &Option<Happening>| happening.as_ref().map_or("nothing".to_owned(), Happening::to_string);
    for difference in differences {
        // Writing to a String cannot fail.
        let _ = write!(
            text,
            "{title}: {}\n  expected {}\n  got      {}\n",
            difference.what,
            show(&difference.expected),
            show(&difference.got)
        );
    }
    for remark in remarks {
        let _ = writeln!(text, "  {remark}");
    }
    text.truncate(text.trim_end().len());
    text
}

fn group(happening: &Happening) -> Option<Group> {
    Some(match happening {
        Happening::Publish { class: Class::Reading { .. }, .. } => Group::Publish(Class::Reading { fault: false }),
        Happening::Publish { class, .. } => Group::Publish(*class),
        Happening::TwinReport(_) => Group::TwinReport,
        Happening::TwinGet => Group::TwinGet,
        Happening::Http { .. } => Group::Http,
        Happening::Registration { .. } => Group::Registration,
        Happening::Command { .. } => Group::Command,
        Happening::Ota(_) | Happening::Module => Group::Firmware,
        Happening::TwinFull { .. } | Happening::TwinPatch { .. } => Group::Twin,
        Happening::Child { .. } => Group::Child,
        Happening::Error(_) => Group::Error,
        Happening::Result(_) => Group::Result,
        // Judged by the state after the step.
        Happening::Connection(_) => return None,
    })
}

fn is_fault(happening: &Happening) -> bool {
    matches!(happening, Happening::Publish { class: Class::Reading { fault: true }, .. })
}

/// A version that was not recorded is not compared.
fn twin_difference(expected: (&Value, Option<u64>), got: (&Value, Option<u64>)) -> Option<String> {
    match (expected.1, got.1) {
        (Some(expected), Some(got)) if expected != got => Some("another version of the twin".to_owned()),
        _ => compare::difference(expected.0, got.0, Rules::default()),
    }
}

#[cfg(test)]
mod tests;
