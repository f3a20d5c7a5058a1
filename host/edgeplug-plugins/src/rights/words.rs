//! Rights in words, for people: what a plugin may do, and what it asked for in vain.

use super::Rights;
use crate::directory::DirectoryRequest;
use crate::endpoint::Endpoint;
use crate::environment::Variable;
use crate::pattern::Pattern;

impl Rights {
    pub(crate) fn words(&self) -> Vec<String> {
        let files = self.asked.iter().map(|asked| self.file(asked));
        let directories = self.directories_asked.iter().map(|asked| self.directory(asked));
        let network = self.network_asked.iter().map(|asked| self.endpoint(asked));
        let environment = self.environment_asked.iter().map(|asked| self.variable(asked));
        let source = &self.policy_source;
        let disconnect = self.disconnect_asked.then(|| {
            if self.disconnect_allowed {
                "may disconnect the device from the cloud".to_owned()
            } else {
                format!(
                    "asks to disconnect the device from the cloud, which {source} does not allow (`allow_disconnect`)"
                )
            }
        });
        let clocks = (!self.clocks).then(|| format!("is not told the time, as {source} says (`clocks`)"));
        let randomness = (!self.randomness)
            .then(|| format!("gets the same random numbers at each start, as {source} says (`randomness`)"));
        let others = disconnect.into_iter().chain(clocks).chain(randomness);
        files.chain(directories).chain(network).chain(environment).chain(others).collect()
    }

    fn file(&self, asked: &Pattern) -> String {
        if self.allowed.iter().any(|allowed| allowed.covers(asked)) {
            format!("may read {asked}")
        } else if !asked.is_exact() || self.allowed.iter().any(|allowed| allowed.matches(asked.as_str())) {
            format!("may read {asked} as far as {} allows", self.policy_source)
        } else {
            format!("asks to read {asked}, which {} does not allow", self.policy_source)
        }
    }

    fn directory(&self, asked: &DirectoryRequest) -> String {
        let DirectoryRequest { path, guest, write } = asked;
        let what = if *write { "read and write" } else { "read" };
        let place = if path == guest { format!("below {path}") } else { format!("below {path}, as {guest}") };
        if self.directories_allowed.iter().any(|grant| grant.covers(path) && (grant.write || !write)) {
            format!("may {what} {place}")
        } else {
            format!("asks to {what} {place}, which {} does not allow (`directories`)", self.policy_source)
        }
    }

    fn endpoint(&self, asked: &Endpoint) -> String {
        if self.network_allowed.iter().any(|allowed| allowed.covers(asked)) {
            format!("may reach {asked}")
        } else if self.network_allowed.iter().any(|allowed| allowed.overlaps(asked)) {
            format!("may reach {asked} as far as {} allows", self.policy_source)
        } else {
            format!("asks to reach {asked}, which {} does not allow (`network`)", self.policy_source)
        }
    }

    fn variable(&self, asked: &Variable) -> String {
        let name = asked.as_str();
        if self.environment_allowed.contains(asked) {
            format!("may see the variable {name} of the daemon's environment")
        } else {
            format!("asks to see the variable {name}, which {} does not allow (`environment`)", self.policy_source)
        }
    }
}
