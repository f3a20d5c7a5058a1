//! Figures against a size, as an SVG that a browser and a README show.

use std::fmt::Write as _;

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 400.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 50.0;
const BOTTOM: f64 = 60.0;

/// One picture. Values start at zero.
pub(crate) struct Chart<'a> {
    pub(crate) title: &'a str,
    pub(crate) x: Axis<'a>,
    /// What the values are.
    pub(crate) y: &'a str,
    pub(crate) lines: Vec<Line<'a>>,
}

pub(crate) struct Axis<'a> {
    pub(crate) name: &'a str,
    pub(crate) logarithmic: bool,
}

pub(crate) struct Line<'a> {
    pub(crate) name: &'a str,
    pub(crate) color: &'a str,
    /// Size and value.
    pub(crate) points: Vec<(f64, f64)>,
}

impl Chart<'_> {
    pub(crate) fn svg(&self) -> String {
        let scale = Scale::new(self);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n\
             <text x=\"{LEFT}\" y=\"24\" font-size=\"16\">{}</text>\n",
            self.title
        );
        let baseline = HEIGHT - BOTTOM;
        for step in 0..=scale.steps {
            let value = scale.step * f64::from(step);
            let y = scale.y(value);
            let _ = writeln!(
                svg,
                "<line x1=\"{LEFT}\" x2=\"{}\" y1=\"{y:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{value}</text>",
                WIDTH - RIGHT,
                LEFT - 8.0,
                y + 4.0
            );
        }
        for (size, _) in self.lines.first().map(|line| line.points.as_slice()).unwrap_or_default() {
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                scale.x(*size),
                baseline + 20.0,
                thousands(*size as u64)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>\
             <text transform=\"translate(18 {:.1}) rotate(-90)\" text-anchor=\"middle\">{}</text>",
            LEFT + (WIDTH - LEFT - RIGHT) / 2.0,
            baseline + 42.0,
            self.x.name,
            TOP + (baseline - TOP) / 2.0,
            self.y
        );
        for (number, line) in self.lines.iter().enumerate() {
            self.draw(line, number, &scale, &mut svg);
        }
        svg.push_str("</svg>\n");
        svg
    }

    fn draw(&self, line: &Line<'_>, number: usize, scale: &Scale, svg: &mut String) {
        let Line { name, color, points } = line;
        let path: Vec<_> = points.iter().map(|(x, y)| format!("{:.1},{:.1}", scale.x(*x), scale.y(*y))).collect();
        let _ = writeln!(
            svg,
            "<polyline points=\"{}\" fill=\"none\" stroke=\"{color}\" stroke-width=\"2\"/>\
             <text x=\"{:.1}\" y=\"44\" fill=\"{color}\">{name}</text>",
            path.join(" "),
            LEFT + 240.0 * number as f64
        );
        for (x, y) in points {
            let decimals = if *y < 10.0 { 2 } else { 0 };
            let _ = writeln!(
                svg,
                "<circle cx=\"{0:.1}\" cy=\"{1:.1}\" r=\"4\" fill=\"{color}\"/>\
                 <text x=\"{0:.1}\" y=\"{2:.1}\" text-anchor=\"middle\" fill=\"{color}\">{y:.decimals$}</text>",
                scale.x(*x),
                scale.y(*y),
                scale.y(*y) + if number == 0 { 20.0 } else { -10.0 }
            );
        }
    }
}

struct Scale {
    first: f64,
    last: f64,
    logarithmic: bool,
    /// Between two lines of the grid.
    step: f64,
    steps: u32,
}

impl Scale {
    fn new(chart: &Chart<'_>) -> Self {
        let points = || chart.lines.iter().flat_map(|line| &line.points);
        let highest = points().map(|(_, value)| *value).fold(0.0, f64::max);
        let logarithmic = chart.x.logarithmic;
        let sizes = || points().map(|(size, _)| if logarithmic { size.log10() } else { *size });
        let first = sizes().fold(f64::INFINITY, f64::min);
        let last = sizes().fold(f64::NEG_INFINITY, f64::max);
        // Six to fifteen lines.
        let step =
            [1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0].into_iter().find(|step| highest / step <= 12.0).unwrap_or(1000.0);
        let steps = (highest * 1.15 / step).ceil().max(1.0) as u32;
        Self { first, last, logarithmic, step, steps }
    }

    fn x(&self, size: f64) -> f64 {
        let (from, to) = (LEFT + 40.0, WIDTH - RIGHT - 40.0);
        let size = if self.logarithmic { size.log10() } else { size };
        let span = self.last - self.first;
        from + if span > 0.0 { (size - self.first) / span * (to - from) } else { 0.0 }
    }

    fn y(&self, value: f64) -> f64 {
        let baseline = HEIGHT - BOTTOM;
        baseline - value / (self.step * f64::from(self.steps)) * (baseline - TOP)
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
