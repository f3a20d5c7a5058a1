//! What an edge device keeps of a window: six numbers of one attribute of one device.
//!
//! As the old SDK computes: integers stay integers in minimum, maximum, sum and latest, one decimal makes the sum a
//! decimal, the average always is one, and sums are taken in the order the values came. A sum beyond 64 bits becomes a
//! decimal, and a decimal sum beyond all decimals the largest there is: neither NaN nor infinity gets out.
//!
//! It is kept on disk as JSON while the window is open. Deliberately absent: time, and whose window it is.

use serde::{Deserialize, Serialize};

use crate::template::Aggregates;

/// A window's values so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Aggregate {
    /// The smallest; of equal ones the first.
    pub min: Number,
    /// The largest; of equal ones the first.
    pub max: Number,
    /// All together.
    pub sum: Number,
    /// How many there were.
    pub count: u64,
    /// The last that came.
    #[serde(rename = "lv")]
    pub latest: Number,
}

/// An integer or a finite decimal.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Number {
    /// 64 bits.
    Integer(i64),
    /// Finite.
    Decimal(f64),
}

impl Default for Number {
    fn default() -> Self {
        Self::Integer(0)
    }
}

impl Number {
    /// As a decimal; beyond 53 bits the nearest.
    #[must_use]
    pub fn as_f64(self) -> f64 {
        match self {
            Self::Integer(integer) => integer as f64,
            Self::Decimal(decimal) => decimal,
        }
    }

    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => {
                one.checked_add(other).map_or_else(|| Self::Decimal(one as f64 + other as f64), Self::Integer)
            }
            (one, other) => Self::Decimal((one.as_f64() + other.as_f64()).clamp(f64::MIN, f64::MAX)),
        }
    }

    fn is_less_than(self, other: Self) -> bool {
        match (self, other) {
            (Self::Integer(one), Self::Integer(other)) => one < other,
            (one, other) => one.as_f64() < other.as_f64(),
        }
    }
}

impl From<&serde_json::Number> for Number {
    fn from(number: &serde_json::Number) -> Self {
        match number.as_i64() {
            Some(integer) => Self::Integer(integer),
            // JSON holds no other numbers than finite ones.
            None => Self::Decimal(number.as_f64().unwrap_or_default()),
        }
    }
}

impl Aggregate {
    /// Takes one more value.
    pub fn add(&mut self, value: Number) {
        let is_first = self.count == 0;
        if is_first || value.is_less_than(self.min) {
            self.min = value;
        }
        if is_first || self.max.is_less_than(value) {
            self.max = value;
        }
        self.sum = if is_first { value } else { self.sum.plus(value) };
        self.count = self.count.saturating_add(1);
        self.latest = value;
    }

    /// Whether no value came.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Sum by count; 0 of nothing.
    #[must_use]
    pub fn average(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.sum.as_f64() / self.count as f64 }
    }

    /// What is sent of it, in the order of the wire: minimum, maximum, sum, average, count, latest.
    pub fn chosen(&self, aggregates: Aggregates) -> impl Iterator<Item = Number> {
        let all = [
            self.min,
            self.max,
            self.sum,
            Number::Decimal(self.average()),
            Number::Integer(i64::try_from(self.count).unwrap_or(i64::MAX)),
            self.latest,
        ];
        all.into_iter().enumerate().filter_map(move |(bit, number)| (aggregates.0 & (1 << bit) != 0).then_some(number))
    }
}

#[cfg(test)]
mod tests;
