//! One device of one protocol with its daemon, its plugin and its cloud, and what every scene does with them.

use std::cell::Cell;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{
    Ack, Attribute, Child, Cloud, CloudMessage, Dialect, Hub, Kind, MessageKind, Offer, Protocol, Recorder, Rule,
    Template, Update,
};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};
use serde_json::Value;

use crate::coverage::Coverage;

/// For anything that must happen.
pub(super) const LONG: Duration = Duration::from_secs(60);
/// For anything that must not happen: longer than a reconnect, a window or a sample takes.
pub(super) const QUIET: Duration = Duration::from_secs(3);
/// How often a state is looked at that rings no bell.
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// The device's own name.
pub(super) const GATEWAY: &str = "GW";
pub(super) const CHILDREN: [&str; 3] = ["C1", "C2", "C3"];

/// A running device.
pub(super) struct Rig<'a> {
    pub(super) world: World,
    pub(super) protocol: Protocol,
    pub(super) coverage: &'a Coverage,
    edgeplug: Edgeplug,
    commands: Cell<u32>,
    messages: Cell<u32>,
    /// The first record that is not held against the template yet.
    judged: Cell<u64>,
}

/// What a device can ask for again.
#[derive(Clone, Copy, Debug)]
pub(super) enum Part {
    Attributes,
    Settings,
    Rules,
    Children,
}

impl<'a> Rig<'a> {
    /// A gateway with three children.
    pub(super) async fn gateway(protocol: Protocol, coverage: &'a Coverage) -> anyhow::Result<Self> {
        let tagged = |tag: &'static str| {
            [Attribute::of(Kind::Integer, "sequence").tag(tag), Attribute::of(Kind::String, "run").tag(tag)]
        };
        let child = |id: &str| Child { id: id.to_owned(), tag: "c".to_owned() };
        let template = Template {
            tag: "gw".to_owned(),
            attributes: tagged("gw")
                .into_iter()
                .chain(tagged("c"))
                .chain([Attribute::of(Kind::Integer, "temp").tag("gw").valid("0 to 50")])
                .collect(),
            settings: vec![Attribute::of(Kind::Integer, "fan").valid("0 to 5")],
            children: CHILDREN.into_iter().map(child).collect(),
            ..Template::default()
        };
        let config = format!("children = \"{}\"\nrun = \"gateway\"\n", CHILDREN.join(" "));
        Self::start(protocol, coverage, template, &config).await
    }

    /// An edge device with windows and a rule.
    pub(super) async fn edge(protocol: Protocol, coverage: &'a Coverage) -> anyhow::Result<Self> {
        const ALL_SIX: u8 = 63;
        let number = |name: &str| Attribute::of(Kind::Integer, name).window("2s").aggregate(ALL_SIX);
        let gyro = Attribute::object("gyro", [number("x"), number("y")]).window("2s").aggregate(ALL_SIX);
        let template = Template {
            edge: true,
            attributes: vec![number("sequence"), number("temp").valid("0 to 100"), gyro],
            rules: vec![Rule::new("R1", "temp > 20 AND gyro.x >= 1").command("fan on")],
            ..Template::default()
        };
        Self::start(protocol, coverage, template, "paused = \"true\"\n").await
    }

    async fn start(
        protocol: Protocol,
        coverage: &'a Coverage,
        template: Template,
        config: &str,
    ) -> anyhow::Result<Self> {
        let offer = match protocol {
            Protocol::Legacy => Offer::Legacy,
            Protocol::V21 => Offer::V21,
        };
        let world = World::new(WorldOptions {
            template,
            symmetric_key: true,
            offer,
            // The protocol is left to be found out.
            cloud: "hard_stop = \"until-resume\"\n".to_owned(),
            plugins: "[plugins.allow.gateway]\nallow_disconnect = true\n".to_owned(),
            // Signatures are another test's matter; hashes come with the URLs.
            tables: "[ota]\nsignature = \"off\"\n".to_owned(),
            ..WorldOptions::default()
        })
        .await?;
        let manifest = format!("interval_ms = 200\ndisconnect = true\n[config]\n{config}");
        world.drop_plugin(PluginFiles { name: "gateway", guest: "gateway", manifest: Some(&manifest) })?;
        world.drop_plugin(PluginFiles { name: "flasher", guest: "flasher", manifest: Some("interval_ms = 200\n") })?;
        let edgeplug = world.start()?;
        let (commands, messages, judged) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let rig = Self { world, protocol, coverage, edgeplug, commands, messages, judged };
        rig.hub().wait_connected(GATEWAY, LONG).await?;
        Ok(rig)
    }

    pub(super) fn cloud(&self) -> &Cloud {
        &self.world.cloud
    }

    pub(super) fn hub(&self) -> &Hub {
        self.cloud().hub()
    }

    pub(super) fn recorder(&self) -> &Recorder {
        self.cloud().recorder()
    }

    pub(super) fn is_legacy(&self) -> bool {
        self.protocol == Protocol::Legacy
    }

    /// What an ack says when all went well: legacy 6 "executed", 2.1 2 "success" (newest published table).
    pub(super) fn done(&self) -> i64 {
        if self.is_legacy() { 6 } else { 2 }
    }

    /// And when it did not: legacy 4, 2.1 1.
    pub(super) fn failed(&self) -> i64 {
        if self.is_legacy() { 4 } else { 1 }
    }

    /// Sends a message; in 2.1 in both forms of its version by turns.
    pub(super) fn send(&self, message: &CloudMessage) -> anyhow::Result<()> {
        self.cloud().send(GATEWAY, self.dialect(), message)
    }

    /// The same for an update made of files of the store.
    pub(super) fn push_update(&self, update: &Update) -> anyhow::Result<()> {
        self.cloud().push_update(GATEWAY, self.dialect(), update)
    }

    fn dialect(&self) -> Dialect {
        let count = self.messages.replace(self.messages.get() + 1);
        match self.protocol {
            Protocol::Legacy => Dialect::Legacy,
            Protocol::V21 if count.is_multiple_of(2) => Dialect::V21,
            Protocol::V21 => Dialect::V21Number,
        }
    }

    /// Sends a message and waits until the device has acknowledged it to the broker.
    pub(super) async fn tell(&self, message: &CloudMessage) -> anyhow::Result<()> {
        self.send(message)?;
        self.hub().wait_queue_empty(GATEWAY, LONG).await.with_context(|| format!("{message:?} was not taken"))
    }

    /// The message's type has shown its effect.
    pub(super) fn cover(&self, message: &CloudMessage) {
        if let Some(row) = message.row(self.protocol) {
            self.coverage.cover(self.protocol, row);
        }
    }

    /// Sends a command to the plugin and waits for its ack.
    pub(super) async fn ask(&self, text: &str) -> anyhow::Result<Ack> {
        let count = self.commands.replace(self.commands.get() + 1);
        let ack_id = format!("ask-{count}");
        self.send(&CloudMessage::command(text, &ack_id))?;
        self.recorder().wait_for_ack(&ack_id, LONG).await.with_context(|| format!("command {text:?}"))
    }

    /// What the plugin answered to a command that it carried out.
    pub(super) async fn answer(&self, text: &str) -> anyhow::Result<String> {
        let ack = self.ask(text).await?;
        ensure!(ack.status == self.done(), "{text:?} ended with status {}: {}", ack.status, ack.message);
        Ok(ack.message)
    }

    /// What the plugin said when it could not.
    pub(super) async fn refusal(&self, text: &str) -> anyhow::Result<String> {
        let ack = self.ask(text).await?;
        ensure!(ack.status == self.failed(), "{text:?} ended with status {}: {}", ack.status, ack.message);
        Ok(ack.message)
    }

    /// Asks the plugin again and again until its answer fits.
    pub(super) async fn until_answer(&self, text: &str, fits: impl Fn(&str) -> bool) -> anyhow::Result<String> {
        let begun = Instant::now();
        loop {
            let answer = self.answer(text).await?;
            if fits(&answer) {
                return Ok(answer);
            }
            ensure!(begun.elapsed() < LONG, "{text:?} went on to be answered by {answer:?}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// How often the device asked for this part, and for nothing else with it.
    pub(super) fn asked(&self, part: Part) -> usize {
        match self.protocol {
            Protocol::Legacy => {
                let flag = match part {
                    Part::Attributes => "attribute",
                    Part::Settings => "setting",
                    Part::Rules => "rule",
                    Part::Children => "device",
                };
                self.syncs(|flags| flags == [flag])
            }
            Protocol::V21 => {
                let number = match part {
                    Part::Attributes => 201,
                    Part::Settings => 202,
                    Part::Rules => 203,
                    Part::Children => 204,
                };
                let questions = self.recorder().of_kind(MessageKind::Identity);
                let asked = questions.iter().filter_map(|record| record.json()?.get("mt")?.as_i64());
                asked.filter(|asked| *asked == number).count()
            }
        }
    }

    /// Legacy: how many syncs asked for flags that fit, in alphabetical order.
    pub(super) fn syncs(&self, fits: impl Fn(&[&str]) -> bool) -> usize {
        let requests = self.cloud().iotconnect().sync_requests();
        let flags = requests.iter().filter_map(|request| {
            let options = request.get("option")?.as_object()?;
            let mut flags: Vec<&str> = options
                .iter()
                .filter(|(_, wanted)| **wanted == Value::Bool(true))
                .map(|(flag, _)| flag.as_str())
                .collect();
            flags.sort_unstable();
            Some(flags)
        });
        flags.filter(|flags| fits(flags)).count()
    }

    /// Says that a part changed, and waits until the device has asked for it.
    pub(super) async fn change(&self, part: Part, edit: impl FnOnce(&mut Template)) -> anyhow::Result<()> {
        let message = match part {
            Part::Attributes => CloudMessage::AttributesChanged,
            Part::Settings => CloudMessage::SettingsChanged,
            Part::Rules => CloudMessage::RulesChanged,
            Part::Children => CloudMessage::ChildrenChanged,
        };
        // What came so far is held against the template it was made by.
        self.judge()?;
        self.cloud().iotconnect().edit_template(GATEWAY, edit)?;
        let before = self.asked(part);
        self.tell(&message).await?;
        self.until(&format!("the device to ask for its {part:?}"), || self.asked(part) > before).await
    }

    /// Nothing that came since the last look was malformed or unknown to the template.
    fn judge(&self) -> anyhow::Result<()> {
        let next = self.recorder().with(|records| records.last().map_or(0, |record| record.number + 1));
        let since = self.judged.replace(next);
        let complaints = self.cloud().complaints().into_iter().filter(|complaint| complaint.record >= since);
        let complaints: Vec<_> = complaints.filter(|complaint| complaint.record < next).collect();
        ensure!(complaints.is_empty(), "{} complaints, such as {:?}", complaints.len(), complaints.first());
        Ok(())
    }

    pub(super) async fn until(&self, what: &str, fits: impl Fn() -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        while !fits() {
            ensure!(begun.elapsed() < LONG, "waited in vain for {what}");
            tokio::time::sleep(LOOK_EVERY).await;
        }
        Ok(())
    }

    /// An operator's order to the daemon.
    pub(super) async fn order(&self, arguments: &[&str]) -> anyhow::Result<()> {
        self.edgeplug.order(arguments).await
    }

    /// Numbers of a device that arrived, each once.
    pub(super) fn arrived(&self, device: &str) -> std::collections::BTreeSet<i64> {
        let readings = self.recorder().readings("sequence");
        readings
            .iter()
            .filter(|reading| reading.device == device)
            .filter_map(|reading| reading.value.as_i64())
            .collect()
    }

    /// How many numbers of the device the plugin was told are accepted.
    pub(super) async fn tally(&self, device: &str) -> anyhow::Result<i64> {
        let tally = self.answer("tally").await?;
        let number = tally.split(' ').find_map(|word| word.strip_prefix(device)?.strip_prefix('=')?.parse().ok());
        number.with_context(|| format!("no tally of {device} in {tally:?}"))
    }

    /// Pauses the plugin; then every accepted number has arrived, every ack owed came once, nothing was malformed, and the
    /// daemon ends when it is asked to.
    pub(super) async fn end(self) -> anyhow::Result<()> {
        self.answer("pause").await?;
        let edge = self.recorder().readings("sequence").is_empty();
        for device in std::iter::once(GATEWAY).chain(CHILDREN).filter(|_| !edge) {
            let accepted = self.tally(device).await?;
            let all = || self.arrived(device).into_iter().eq(0..accepted);
            self.until(&format!("all {accepted} readings of {device}"), all).await?;
        }
        let balance = self.cloud().wait_acks(GATEWAY, LONG).await;
        // A late double is one as well.
        tokio::time::sleep(QUIET).await;
        let settled = self.cloud().ack_balance(GATEWAY);
        self.coverage.count(&settled);
        balance.with_context(|| format!("missing {:?}", settled.missing))?;
        ensure!(settled.double.is_empty(), "acknowledged twice: {:?}", settled.double);
        ensure!(settled.unasked.is_empty(), "acknowledged unasked: {:?}", settled.unasked);
        self.judge()?;
        let ended = self.edgeplug.terminate().await?;
        ensure!(ended.success(), "the daemon ended with {ended}");
        Ok(())
    }
}
