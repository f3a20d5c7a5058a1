//! The cost of a row against the size of the store, as an SVG that a browser and a README show.

use std::fmt::Write as _;

use crate::rows::Cost;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

struct Line {
    name: &'static str,
    color: &'static str,
    us: fn(&Cost) -> f64,
}

const LINES: [Line; 2] = [
    Line { name: "insert, committed with fsync", color: "#1f77b4", us: |cost| cost.insert_us },
    Line { name: "drain, read and removed with fsync", color: "#d62728", us: |cost| cost.drain_us },
];

/// One line for each kind of cost; sizes on a logarithmic axis, costs on a linear one from zero.
pub(crate) fn svg(costs: &[Cost]) -> String {
    let highest = costs.iter().flat_map(|cost| [cost.insert_us, cost.drain_us]).fold(0.0, f64::max);
    let scale = Scale::new(costs, highest);
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
         <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">Outbox: cost of a row by the size of the store</text>\n"
    );
    let baseline = HEIGHT - BOTTOM;
    for step in 0..=scale.steps {
        let us = scale.step * f64::from(step);
        let y = scale.y(us);
        let _ = writeln!(
            svg,
            "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
             <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{us}</text>",
            WIDTH - RIGHT,
            LEFT - 8.0,
            y + 4.0
        );
    }
    for cost in costs {
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            scale.x(cost.rows),
            baseline + 20.0,
            thousands(cost.rows)
        );
    }
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">rows in the store</text>\
         <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">microseconds a row</text>",
        LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
        baseline + 42.0,
        TOP + (baseline - TOP) / 2.0
    );
    for (number, Line { name, color, us }) in LINES.iter().enumerate() {
        let points: Vec<_> = costs.iter().map(|cost| (scale.x(cost.rows), scale.y(us(cost)), us(cost))).collect();
        let path: Vec<_> = points.iter().map(|(x, y, _)| format!("{x:.1},{y:.1}")).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"44\" fill=\"{color}\">{name}</text>",
            path.join(" "),
            LEFT + 240.0 * number as f64
        );
        for (x, y, us) in points {
            let _ = writeln!(
                svg,
                "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"4\" fill=\"{color}\"/>\
                 <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"middle\" fill=\"{color}\">{us:.2}</text>",
                y + if number == 0 { 20.0 } else { -10.0 }
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

struct Scale {
    first: f64,
    last: f64,
    /// Between two lines of the grid.
    step: f64,
    steps: u32,
}

impl Scale {
    fn new(costs: &[Cost], highest: f64) -> Self {
        let exponent = |cost: Option<&Cost>| cost.map_or(0.0, |cost| (cost.rows as f64).log10());
        let step = if highest > 20.0 {
            10.0
        } else if highest > 8.0 {
            2.0
        } else {
            1.0
        };
        let steps = (highest * 1.15 / step).ceil().max(1.0) as u32;
        Self { first: exponent(costs.first()), last: exponent(costs.last()), step, steps }
    }

    fn x(&self, rows: u64) -> f64 {
        let (from, to) = (LEFT + 40.0, WIDTH - RIGHT - 40.0);
        let part = ((rows as f64).log10() - self.first) / (self.last - self.first).max(1.0);
        from + part * (to - from)
    }

    fn y(&self, us: f64) -> f64 {
        let baseline = HEIGHT - BOTTOM;
        baseline - us / (self.step * f64::from(self.steps)) * (baseline - TOP)
    }
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(' ');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests;
