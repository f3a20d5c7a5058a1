//! Which walls each fixture tries.

mod bombs;
mod claims;
mod directories;
mod exports;
mod files;
mod floods;
mod network;
pub(super) mod open;
mod process;
mod texts;

use super::fixture::Fixture;
use super::wall::Wall;

/// Every wall, fixture by fixture. A fixture that is new has no arm here, and nothing compiles until it has.
pub(super) fn all() -> Vec<Wall> {
    Fixture::ALL.iter().flat_map(|fixture| of(*fixture)).collect()
}

fn of(fixture: Fixture) -> Vec<Wall> {
    match fixture {
        Fixture::Bombs => bombs::walls(),
        Fixture::Claims => claims::walls(),
        Fixture::CompilerBomb => texts::compiler_bomb(),
        Fixture::DoublingNames => texts::doubling_names(),
        Fixture::Directories => directories::walls(),
        Fixture::ExportCopies => texts::export_copies(),
        Fixture::Exports => exports::walls(),
        Fixture::Files => files::walls(),
        Fixture::Floods => floods::walls(),
        Fixture::ForgedNames => texts::forged_names(),
        Fixture::Handles => texts::handles(),
        Fixture::InstanceStorm => texts::instance_storm(),
        Fixture::InstanceTree => texts::instance_tree(),
        Fixture::LargeMemory => texts::large_memory(),
        Fixture::LargeTable => texts::large_table(),
        Fixture::Lies => texts::lies(),
        Fixture::Network => network::walls(),
        Fixture::Overlap => texts::overlap(),
        Fixture::Process => process::walls(),
        Fixture::Realloc => texts::realloc(),
        Fixture::StartLoop => texts::start_loop(),
        Fixture::Tables => texts::tables(),
        Fixture::TypeNesting => texts::type_nesting(),
        Fixture::TypeTree => texts::type_tree(),
        Fixture::WideFrames => texts::wide_frames(),
        Fixture::WrongImport => texts::wrong_import(),
        Fixture::WrongResult => texts::wrong_result(),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::hostile::wall::{Ends, Word};

    #[test]
    fn every_word_of_the_list_has_a_wall_and_so_has_every_fixture() {
        let walls = all();
        assert!(walls.len() >= 25, "{}", walls.len());
        for word in [
            Word::DotDot,
            Word::Symlink,
            Word::RenameRace,
            Word::AbsolutePath,
            Word::ProcSelfMem,
            Word::NameRebinding,
            Word::HugeString,
            Word::HugeList,
            Word::HandleConfusion,
            Word::DeepRecursion,
            Word::StackBomb,
            Word::TableBomb,
            Word::MemoryBomb,
            Word::InstanceStorm,
            Word::EndlessLoop,
            Word::EndlessStart,
            Word::HostCallFlood,
            Word::LogFlood,
            Word::LyingTypes,
            Word::CompilerBomb,
        ] {
            assert!(walls.iter().any(|wall| wall.word == word), "{word:?}");
        }
        for fixture in Fixture::ALL {
            assert!(walls.iter().any(|wall| wall.fixture == *fixture), "{}", fixture.name());
        }
        let names: HashSet<_> = walls.iter().map(|wall| wall.name).collect();
        assert_eq!(names.len(), walls.len(), "names are given once");
        assert!(walls.iter().any(|wall| wall.is_short && matches!(wall.ends, Ends::Quarantined)));
    }
}
