//! What the kernel's text files say. Pure functions from text to numbers; the formats are those of proc(5) and of the
//! kernel's `Documentation/driver-api/thermal/sysfs-api.rst`.

/// Processor time since boot, in ticks, from `/proc/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuTimes {
    pub busy: u64,
    pub total: u64,
}

/// From `/proc/meminfo`, in KiB.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    pub total_kb: u64,
    pub available_kb: u64,
}

/// The mean number of runnable processes over the last minute: the first field of `/proc/loadavg`.
pub fn load_1m(loadavg: &str) -> Option<f64> {
    number(loadavg.split_whitespace().next()?)
}

/// Seconds since boot: the first field of `/proc/uptime`.
pub fn uptime_s(uptime: &str) -> Option<f64> {
    number(uptime.split_whitespace().next()?)
}

/// The line `cpu` of `/proc/stat`: user nice system idle iowait irq softirq steal (guest times are within user).
pub fn cpu_times(stat: &str) -> Option<CpuTimes> {
    let line = stat.lines().find_map(|line| line.strip_prefix("cpu "))?;
    let ticks = line.split_whitespace().take(8).map(str::parse).collect::<Result<Vec<u64>, _>>().ok()?;
    let idle = ticks.get(3)?.checked_add(ticks.get(4).copied().unwrap_or(0))?;
    let total = ticks.iter().try_fold(0u64, |sum, ticks| sum.checked_add(*ticks))?;
    Some(CpuTimes { busy: total.checked_sub(idle)?, total })
}

/// Percent of all processors' time that was busy between two readings; none when no time passed or it ran backwards.
pub fn cpu_percent(before: CpuTimes, now: CpuTimes) -> Option<f64> {
    let total = now.total.checked_sub(before.total)?;
    let busy = now.busy.saturating_sub(before.busy).min(total);
    (total > 0).then(|| 100.0 * busy as f64 / total as f64)
}

/// `MemTotal` and `MemAvailable` of `/proc/meminfo`.
pub fn memory(meminfo: &str) -> Option<Memory> {
    let field = |name: &str| {
        let rest = meminfo.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        rest.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()
    };
    Some(Memory { total_kb: field("MemTotal")?, available_kb: field("MemAvailable")? })
}

impl Memory {
    pub fn used_percent(self) -> Option<f64> {
        let used = self.total_kb.checked_sub(self.available_kb)?;
        (self.total_kb > 0).then(|| 100.0 * used as f64 / self.total_kb as f64)
    }
}

/// A thermal zone's `temp`: thousandths of a degree Celsius.
pub fn temperature_c(temp: &str) -> Option<f64> {
    temp.trim().parse::<i32>().ok().map(|thousandths| f64::from(thousandths) / 1000.0)
}

fn number(text: &str) -> Option<f64> {
    text.parse().ok().filter(|number: &f64| number.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "cpu  100 5 45 800 50 0 0 0 7 0\ncpu0 100 5 45 800 50 0 0 0 7 0\nintr 1\n";

    #[test]
    fn the_kernels_own_texts_are_understood() {
        assert_eq!(load_1m("0.52 0.58 0.59 1/389 12345\n"), Some(0.52));
        assert_eq!(uptime_s("350735.47 234388.90\n"), Some(350_735.47));
        assert_eq!(cpu_times(STAT), Some(CpuTimes { busy: 150, total: 1000 }));
        let meminfo = "MemTotal:        8000000 kB\nMemFree:  1 kB\nMemAvailable:    6000000 kB\n";
        assert_eq!(memory(meminfo), Some(Memory { total_kb: 8_000_000, available_kb: 6_000_000 }));
        assert_eq!(memory(meminfo).and_then(Memory::used_percent), Some(25.0));
        assert_eq!(temperature_c("42500\n"), Some(42.5));
        assert_eq!(temperature_c("-1500\n"), Some(-1.5));
    }

    #[test]
    fn processor_use_is_measured_between_two_readings() {
        let at = |busy, total| CpuTimes { busy, total };
        assert_eq!(cpu_percent(at(150, 1000), at(175, 1100)), Some(25.0));
        assert_eq!(cpu_percent(at(150, 1000), at(150, 1000)), None);
        // Some kernels let idle time run back a little.
        assert_eq!(cpu_percent(at(150, 1000), at(100, 1100)), Some(0.0));
        assert_eq!(cpu_percent(at(150, 1000), at(100, 900)), None);
    }

    #[test]
    fn nonsense_is_no_reading() {
        for text in ["", " ", "x", "nan", "inf", "cpu", "cpu  1 2", "cpu  a b c d", "MemTotal: 5 MB", "MemTotal: -1 kB"]
        {
            assert_eq!(load_1m(text), None, "{text:?}");
            assert_eq!(cpu_times(text), None, "{text:?}");
            assert_eq!(memory(text), None, "{text:?}");
            assert_eq!(temperature_c(text), None, "{text:?}");
        }
        let huge = format!("cpu  {0} {0} {0} {0}", u64::MAX);
        assert_eq!(cpu_times(&huge), None);
    }
}
