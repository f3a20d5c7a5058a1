//! What the architecture test needs: the names that a Rust source mentions, and the arrows between packages.
//!
//! Must stay true: a finding is a place (`file:line`) and a reason, so that a failing test is read without a debugger;
//! comments, doc text and string literals never count, so that a file may explain what it is forbidden to do.
//!
//! Deliberately absent: macro expansion and type resolution. A name that only a macro produces is not seen here; it
//! would need a dependency, and [`graph`] sees that.

pub mod graph;
pub mod names;
pub mod rules;
mod tokens;
