//! Thousands of new versions of one plugin, put there in every way a file can change, some of them bad.
//!
//! What is proved, from outside: the guest counts its readings and hands the count to its successor, so readings in the cloud
//! are one chain (see [`Chain`]). A number that is missing was lost by a swap, one that comes twice was doubled by it. After a
//! version that turns out bad the chain must go on with the last good version from where the swap left it. The gap of a swap is
//! read from the guests' own clocks: the time between the last reading of the old and the first of the new version, less the
//! interval. What the daemon says of itself only tells when to stop waiting.

mod chain;
mod files;
mod news;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use edgeplug_cloud::{Attribute, Template};
use edgeplug_e2e::{Edgeplug, PluginFiles, World, WorldOptions};
use serde::Serialize;

use crate::process;
use crate::random::Random;
use chain::Chain;
use edgeplug_test_support::versions::Versions;
use files::{Habit, Put, Site};
use news::News;

/// A hundred readings a second.
const INTERVAL_MS: u64 = 10;
/// Good versions come from so many, again and again, as an operator's would: compiled once.
const GOOD_VERSIONS: u32 = 50;
/// Every so many reloads brings a bad one.
const BAD_EVERY: u64 = 8;
/// How long one reload may take to show.
const RELOAD_MAX: Duration = Duration::from_secs(30);
const START_MAX: Duration = Duration::from_secs(60);
/// How often it is looked.
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How often progress is said.
const SAY_EVERY: Duration = Duration::from_secs(15);
/// Readings after which a version that ought to go on does.
const GOES_ON: u64 = 3;
/// Most memory the daemon may have grown by, in KiB.
const RSS_GROWTH_KB_MAX: i64 = 2048;
/// Longest gap of nearly every swap, in milliseconds.
const GAP_MS_P99_MAX: f64 = 5.0;
const COMPLAINTS_MAX: usize = 20;

/// How to run it.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many new versions.
    pub reloads: u64,
    /// Of everything random.
    pub seed: u64,
    /// Where the device's disk lies.
    pub disk: Option<PathBuf>,
    /// Whether memory and gaps are judged: not in a short run on a machine that runs other tests.
    pub judge_figures: bool,
}

/// The last line.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Verdict {
    /// Versions put there.
    pub reloads: u64,
    /// Readings missing in the chain.
    pub lost: u64,
    /// Readings that came twice.
    pub doubled: u64,
    /// Of the bad versions, those after which the last good one went on where it was.
    pub last_good_kept_percent: f64,
    /// Resident memory at the end against a tenth of the way.
    pub rss_growth_kb: i64,
    /// Of the swaps to good versions.
    pub swap_gap_ms_p99: f64,
    /// Broken promises in words.
    #[serde(skip)]
    pub complaints: Vec<String>,
}

impl Verdict {
    /// Whether every promise was kept.
    #[must_use]
    pub fn holds(&self) -> bool {
        self.complaints.is_empty()
    }

    fn complain(&mut self, complaint: String) {
        if self.complaints.len() < COMPLAINTS_MAX {
            self.complaints.push(complaint);
        }
    }
}

/// One JSON object on one line.
impl std::fmt::Display for Verdict {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&serde_json::to_string(self).map_err(|_| std::fmt::Error)?)
    }
}

/// Runs it.
///
/// # Errors
/// When something is not built or the daemon ends; a broken promise is no error but in the verdict.
pub async fn run(options: &Options) -> anyhow::Result<Verdict> {
    let mut run = Run::start(options).await?;
    let mut said = Instant::now();
    for reload in 1..=options.reloads {
        run.reload(reload).await.with_context(|| format!("reload {reload}"))?;
        if said.elapsed() > SAY_EVERY {
            said = Instant::now();
            println!("{reload} reloads, {} readings, {} bad ones survived", run.chain.readings(), run.kept);
        }
    }
    run.finish().await
}

struct Run {
    options: Options,
    world: World,
    edgeplug: Edgeplug,
    versions: Versions,
    site: Site,
    random: Random,
    chain: Chain,
    news: News,
    /// Records of the cloud that were looked at.
    seen: usize,
    /// The good version that runs.
    good: u32,
    /// Counts every bad version there was.
    bad: u32,
    kept: u64,
    rss_kb: Vec<i64>,
    verdict: Verdict,
}

impl Run {
    async fn start(options: &Options) -> anyhow::Result<Self> {
        let attributes = ["count", "version", "us"].map(Attribute::number).to_vec();
        let world = World::new(WorldOptions {
            template: Template { attributes, ..Template::default() },
            symmetric_key: true,
            plugins: "settle_ms = 20\nrescan_s = 1\nprobation_s = 0\nprobation_calls = 3\nrestart_min_ms = 100"
                .to_owned(),
            // Each reading is a message of its own, sent at once.
            tables: "[uplink.batch]\nbytes = 0\n".to_owned(),
            disk: options.disk.clone(),
            ..WorldOptions::default()
        })
        .await?;
        let manifest = format!("interval_ms = {INTERVAL_MS}\n[limits]\ndeadline_ms = 50\n");
        world.drop_plugin(PluginFiles { name: files::PLUGIN, guest: "reload", manifest: Some(&manifest) })?;
        println!("reload: seed {}, {} reloads, {}", options.seed, options.reloads, world.directory().display());
        let edgeplug = world.start()?;
        world.cloud.hub().wait_connected(&world.hub_device_id(), START_MAX).await?;
        let mut run = Self {
            versions: Versions::read()?,
            site: Site::new(&world.plugins_directory(), world.directory())?,
            random: Random::new(options.seed),
            chain: Chain::default(),
            news: News::new(world.log().path()),
            options: options.clone(),
            world,
            edgeplug,
            seen: 0,
            good: 0,
            bad: 0,
            kept: 0,
            rss_kb: Vec::new(),
            verdict: Verdict::default(),
        };
        run.until("the first version is confirmed", |run| run.chain.goes_on(0, 10)).await?;
        Ok(run)
    }

    async fn reload(&mut self, reload: u64) -> anyhow::Result<()> {
        if reload.is_multiple_of(BAD_EVERY) {
            self.bad_version().await?;
        } else {
            self.good_version().await?;
        }
        self.verdict.reloads = reload;
        let pid = self.edgeplug.pid().context("the daemon has ended")?;
        self.rss_kb.push(process::rss_kb(pid)?);
        Ok(())
    }

    async fn good_version(&mut self) -> anyhow::Result<()> {
        let put = Put::any(&mut self.random);
        if put == Put::Touch {
            self.site.touch()?;
            return self.goes_on("a file that was only touched").await;
        }
        self.good = self.good % GOOD_VERSIONS + 1;
        let version = self.good;
        let file = files::component(&self.versions, version, Habit::Good);
        if put == Put::RemoveAndBack {
            let (running, stops) = (self.chain.version(), self.news.stops());
            self.site.remove()?;
            self.until("the plugin that was removed has stopped", |run| run.news.stops() > stops).await?;
            let last = self.news.last_stop().context("the guest said nothing")?;
            self.until("its last reading has arrived", |run| run.chain.count_of(running) >= last.count).await?;
            self.chain.begin_anew();
        }
        self.chain.expect(version);
        self.site.put(&file, put).await?;
        self.until("a good version runs and is confirmed", |run| run.chain.goes_on(version, 4)).await
    }

    /// Puts a version there that must not stay.
    async fn bad_version(&mut self) -> anyhow::Result<()> {
        let habit = Habit::any_bad(&mut self.random);
        self.bad += 1;
        let version = GOOD_VERSIONS + self.bad;
        let file = files::component(&self.versions, version, habit);
        let (refused, rolled_back) = (self.news.refusals(), self.news.rollbacks());
        if habit.shows_later() {
            self.chain.expect(version);
        }
        self.site.put(&file, Put::Rename).await?;
        if habit.shows_later() {
            self.until("the bad version is rolled back", |run| run.news.rollbacks() > rolled_back).await?;
        } else {
            self.until("the bad version is refused", |run| run.news.refusals() > refused).await?;
        }
        let before = self.chain.complaints();
        self.goes_on(&format!("a bad version ({habit:?})")).await?;
        self.kept += u64::from(self.chain.complaints() == before && self.chain.version() == self.good);
        Ok(())
    }

    /// The good version serves.
    async fn goes_on(&mut self, after: &str) -> anyhow::Result<()> {
        let (good, seen) = (self.good, self.chain.readings());
        self.until(after, |run| run.chain.version() == good && run.chain.readings() >= seen + GOES_ON).await
    }

    async fn until(&mut self, what: &str, fits: impl Fn(&Self) -> bool) -> anyhow::Result<()> {
        let begun = Instant::now();
        loop {
            self.look()?;
            if fits(self) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < RELOAD_MAX,
                "{what}: waited {RELOAD_MAX:?} in vain; {:?}; see {}",
                self.chain,
                self.world.log().path().display()
            );
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Takes in what guests logged and what arrived since the last look.
    fn look(&mut self) -> anyhow::Result<()> {
        self.news.look()?;
        loop {
            let page = self.world.cloud.recorder().page(self.seen, 1_000);
            if page.is_empty() {
                return Ok(());
            }
            self.seen += page.len();
            for record in &page {
                self.chain.arrive(&record.body)?;
            }
        }
    }

    async fn finish(mut self) -> anyhow::Result<Verdict> {
        let rest = Duration::from_secs(1);
        tokio::time::sleep(rest).await;
        self.look()?;
        let Self { edgeplug, chain, rss_kb, options, bad, kept, mut verdict, .. } = self;
        let status = edgeplug.terminate().await?;
        if !status.success() {
            verdict.complain(format!("the daemon ended with {status}"));
        }
        verdict.lost = chain.lost();
        verdict.doubled = chain.doubled();
        verdict.last_good_kept_percent = if bad == 0 { 100.0 } else { 100.0 * kept as f64 / f64::from(bad) };
        verdict.swap_gap_ms_p99 = (chain.gap_ms_p99(INTERVAL_MS) * 100.0).round() / 100.0;
        verdict.rss_growth_kb = growth(&rss_kb);
        for words in chain.into_complaints() {
            verdict.complain(words);
        }
        if kept < u64::from(bad) {
            verdict.complain(format!(
                "after {} of {bad} bad versions the last good one did not go on",
                u64::from(bad) - kept
            ));
        }
        if options.judge_figures && verdict.rss_growth_kb >= RSS_GROWTH_KB_MAX {
            verdict.complain(format!("memory grew by {} KiB", verdict.rss_growth_kb));
        }
        if options.judge_figures && verdict.swap_gap_ms_p99 > GAP_MS_P99_MAX {
            verdict.complain(format!("one swap in a hundred made a gap of {} ms or more", verdict.swap_gap_ms_p99));
        }
        Ok(verdict)
    }
}

/// The middle of the last twentieth against that of the twentieth after the first tenth, which warmed up caches.
fn growth(rss_kb: &[i64]) -> i64 {
    let median = |part: &[i64]| {
        let mut part = part.to_vec();
        part.sort_unstable();
        part.get(part.len() / 2).copied().unwrap_or(0)
    };
    let (tenth, twentieth) = (rss_kb.len() / 10, (rss_kb.len() / 20).max(1));
    let early = rss_kb.get(tenth..(tenth + twentieth).min(rss_kb.len())).unwrap_or_default();
    let late = rss_kb.get(rss_kb.len().saturating_sub(twentieth)..).unwrap_or_default();
    median(late) - median(early)
}
