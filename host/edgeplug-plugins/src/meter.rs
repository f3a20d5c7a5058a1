//! How much memory one plugin may have, all its linear memories and tables together, and how often it may call the host.
//!
//! A component may hold many core instances; a limit per memory would be multiplied by their number.

use wasmtime::ResourceLimiter;

/// Composite guests (Go, Python) hold a few dozen core instances; the number only stops a bomb.
const INSTANCES_MAX: usize = 100;
const TABLES_MAX: usize = 100;
const MEMORIES_MAX: usize = 50;
/// All tables together; one element costs the host 8 bytes.
const TABLE_ELEMENTS_MAX: usize = 1 << 20;

/// Calls of the host in one call of the guest, whichever interface and the runtime's own helpers included. Each is cheap;
/// a guest that lives on them computes nothing and yet keeps a processor busy.
const HOST_CALLS_MAX: u32 = 100_000;

/// Counts and refuses growth. Growth is never taken back, so the counters only rise; that of host calls begins anew with
/// each call.
pub(crate) struct Meter {
    memory_bytes: usize,
    memory_bytes_max: usize,
    table_elements: usize,
    refused: bool,
    host_calls: u32,
}

impl Meter {
    pub(crate) fn new(memory_mb: u32) -> Self {
        let memory_bytes_max = usize::try_from(memory_mb).unwrap_or(usize::MAX).saturating_mul(1 << 20);
        Self { memory_bytes: 0, memory_bytes_max, table_elements: 0, refused: false, host_calls: 0 }
    }

    pub(crate) fn begin_call(&mut self) {
        self.host_calls = 0;
    }

    /// The error traps the guest.
    pub(crate) fn count_host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.host_calls > HOST_CALLS_MAX {
            return Err(wasmtime::Error::msg(format!(
                "it called host functions more than {HOST_CALLS_MAX} times in one call"
            )));
        }
        Ok(())
    }

    /// Linear memory in use, in bytes.
    pub(crate) fn memory_bytes(&self) -> u64 {
        u64::try_from(self.memory_bytes).unwrap_or(u64::MAX)
    }

    /// Whether the guest ever asked for more than it may have; what it did next is probably the consequence.
    pub(crate) fn refused(&self) -> bool {
        self.refused
    }

    fn grow(total: &mut usize, limit: usize, refused: &mut bool, current: usize, desired: usize) -> bool {
        let wanted = total.saturating_add(desired.saturating_sub(current));
        if wanted > limit {
            *refused = true;
            return false;
        }
        *total = wanted;
        true
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(Self::grow(&mut self.memory_bytes, self.memory_bytes_max, &mut self.refused, current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(Self::grow(&mut self.table_elements, TABLE_ELEMENTS_MAX, &mut self.refused, current, desired))
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        TABLES_MAX
    }

    fn memories(&self) -> usize {
        MEMORIES_MAX
    }
}

#[cfg(test)]
mod tests;
