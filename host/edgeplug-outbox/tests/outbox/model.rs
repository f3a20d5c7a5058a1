//! Random requests and restarts against a map in memory.

use std::collections::BTreeMap;

use bytes::Bytes;
use edgeplug_outbox::{Lane, NewRow, OutboxEvent, Request, RowId, stats};
use proptest::{collection::vec, prelude::*};

use crate::rig::{Rig, directory};

#[derive(Clone, Debug)]
enum Step {
    Append(Vec<(bool, Vec<u8>)>),
    /// Positions among the rows there are, and an id that never was.
    Remove(Vec<prop::sample::Index>, i64),
    Load {
        alarm: bool,
        after: prop::sample::Index,
        rows_max: usize,
        bytes_max: usize,
    },
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => vec((prop::bool::weighted(0.2), vec(any::<u8>(), 0..300)), 0..12).prop_map(Step::Append),
        3 => (vec(any::<prop::sample::Index>(), 0..8), any::<i64>()).prop_map(|(rows, id)| Step::Remove(rows, id)),
        3 => (any::<bool>(), any::<prop::sample::Index>(), 0..20_usize, 0..2_000_usize)
            .prop_map(|(alarm, after, rows_max, bytes_max)| Step::Load { alarm, after, rows_max, bytes_max }),
        1 => Just(Step::Restart),
    ]
}

/// Rows by ticket until their id is known, then by id.
#[derive(Default)]
struct Model {
    rows: BTreeMap<i64, (Lane, Vec<u8>)>,
    given_out: i64,
    tickets: u64,
}

impl Model {
    fn page(&self, lane: Lane, after: i64, rows_max: usize, bytes_max: usize) -> (Vec<(i64, Vec<u8>)>, bool) {
        let (mut page, mut bytes) = (Vec::new(), 0);
        for (id, (_, body)) in self.rows.range(after + 1..).filter(|(_, (at, _))| *at == lane) {
            bytes += body.len();
            if page.len() == rows_max.max(1) || (bytes > bytes_max && !page.is_empty()) {
                return (page, true);
            }
            page.push((*id, body.clone()));
        }
        (page, false)
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, max_shrink_iters: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_store_does_what_a_map_in_memory_does(steps in vec(step(), 1..40)) {
        let directory = directory();
        let mut rig = Rig::open(directory.path());
        let mut model = Model::default();
        for step in steps {
            match step {
                Step::Append(bodies) => {
                    let rows: Vec<NewRow> = bodies
                        .iter()
                        .map(|(alarm, body)| {
                            model.tickets += 1;
                            let lane = if *alarm { Lane::Alarm } else { Lane::Live };
                            let (ticket, body) = (model.tickets, Bytes::from(body.clone()));
                            NewRow { ticket, lane, kind: 3, link_down: *alarm, created_unix_ms: ticket as i64, body }
                        })
                        .collect();
                    let committed = rig.append(rows.clone());
                    prop_assert_eq!(committed.len(), rows.len());
                    for (row, committed) in rows.into_iter().zip(committed) {
                        prop_assert_eq!(row.ticket, committed.ticket);
                        prop_assert!(committed.id.0 > model.given_out);
                        model.given_out = committed.id.0;
                        model.rows.insert(committed.id.0, (row.lane, row.body.to_vec()));
                    }
                }
                Step::Remove(positions, stranger) => {
                    let ids: Vec<i64> = model.rows.keys().copied().collect();
                    let mut named: Vec<i64> =
                        if ids.is_empty() { vec![] } else { positions.iter().map(|at| *at.get(&ids)).collect() };
                    named.push(stranger);
                    rig.remove(named.iter().copied().map(RowId).collect());
                    model.rows.retain(|id, _| !named.contains(id));
                }
                Step::Load { alarm, after, rows_max, bytes_max } => {
                    let lane = if alarm { Lane::Alarm } else { Lane::Live };
                    let after = after.index(model.given_out as usize + 2) as i64;
                    rig.ask(Request::Load { ticket: 1, lane, after: RowId(after), rows_max, bytes_max });
                    let OutboxEvent::Loaded { rows, more, .. } = rig.next() else { panic!("no rows") };
                    let found: Vec<_> = rows.iter().map(|row| (row.id.0, row.body.to_vec())).collect();
                    prop_assert_eq!((found, more), model.page(lane, after, rows_max, bytes_max));
                }
                Step::Restart => {
                    rig = rig.restart(directory.path());
                    prop_assert_eq!(rig.restored.last_row.0, model.given_out);
                    for (lane, state) in [(Lane::Live, rig.restored.live), (Lane::Alarm, rig.restored.alarm)] {
                        let of_lane = || model.rows.iter().filter(move |(_, (at, _))| *at == lane);
                        prop_assert_eq!(state.rows, of_lane().count() as u64);
                        prop_assert_eq!(state.bytes, of_lane().map(|(_, (_, body))| body.len() as u64).sum::<u64>());
                        prop_assert_eq!(state.first, of_lane().next().map(|(id, _)| RowId(*id)));
                        prop_assert_eq!(state.last, of_lane().next_back().map(|(id, _)| RowId(*id)));
                    }
                }
            }
        }
        prop_assert_eq!(rig.all(Lane::Live).len() + rig.all(Lane::Alarm).len(), model.rows.len());
        let stats = stats(directory.path()).unwrap();
        prop_assert_eq!((stats.live_rows + stats.alarm_rows) as usize, model.rows.len());
    }
}
