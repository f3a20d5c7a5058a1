use super::*;

fn chart(points: Vec<(f64, f64)>, logarithmic: bool) -> Chart<'static> {
    let line = |name| Line { name, color: "black", points: points.clone() };
    Chart { title: "", x: Axis { name: "", logarithmic }, y: "", lines: vec![line("one"), line("other")] }
}

#[test]
fn every_point_lies_within_the_axes() {
    for (highest, logarithmic) in [(0.4, true), (3.0, true), (9.0, false), (77.0, false), (800.0, true)] {
        let points = vec![(10_000.0, highest / 2.0), (10_000_000.0, highest)];
        let chart = chart(points.clone(), logarithmic);
        let scale = Scale::new(&chart);
        for (x, y) in points {
            assert!((LEFT..=WIDTH - RIGHT).contains(&scale.x(x)));
            assert!((TOP..=HEIGHT - BOTTOM).contains(&scale.y(y)));
        }
        assert_eq!(chart.svg().matches("<circle").count(), 4);
    }
}

#[test]
fn a_run_of_a_single_size_still_makes_a_plot() {
    let svg = chart(vec![(10_000.0, 1.0)], true).svg();
    assert!(svg.ends_with("</svg>\n") && !svg.contains("NaN"), "{svg}");
    assert_eq!(thousands(10_000_000), "10 000 000");
}
