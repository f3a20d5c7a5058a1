use super::*;

fn cost(rows: u64, us: f64) -> Cost {
    Cost {
        rows,
        insert_us: us,
        drain_us: us,
        insert_last_us: us,
        drain_first_us: us,
        insert_processor_us: us,
        drain_processor_us: us,
        bytes_per_row: 300.0,
    }
}

#[test]
fn every_point_lies_within_the_axes() {
    for highest in [0.4, 3.0, 9.0, 77.0] {
        let costs = [cost(10_000, highest / 2.0), cost(10_000_000, highest)];
        let scale = Scale::new(&costs, highest);
        for cost in &costs {
            assert!((LEFT..=WIDTH - RIGHT).contains(&scale.x(cost.rows)));
            assert!((TOP..=HEIGHT - BOTTOM).contains(&scale.y(cost.insert_us)));
        }
        assert_eq!(svg(&costs).matches("<circle").count(), 4);
    }
}

#[test]
fn a_run_of_a_single_size_still_makes_a_plot() {
    assert!(svg(&[cost(10_000, 1.0)]).ends_with("</svg>\n"));
    assert_eq!(thousands(10_000_000), "10 000 000");
}
