//! What the telemetry store is asked, as parts of one group.

use crate::{event::RowId, request::NewRow, telemetry::page::LoadRows};

/// What a store request may be, in the order it takes effect.
#[derive(Debug)]
pub(crate) enum Operation {
    Append(Vec<NewRow>),
    /// `last` when the request has no further part.
    Remove {
        ids: Vec<RowId>,
        last: bool,
    },
    Load(LoadRows),
    /// Ends its group.
    Drop {
        through: RowId,
    },
}

impl Operation {
    pub(crate) fn removed(&self) -> &[RowId] {
        match self {
            Self::Remove { ids, .. } => ids,
            Self::Append(_) | Self::Load(_) | Self::Drop { .. } => &[],
        }
    }

    /// Whether it is the last part of a removal.
    pub(crate) fn ends_a_removal(&self) -> bool {
        matches!(self, Self::Remove { last: true, .. })
    }

    pub(crate) fn appended(&self) -> &[NewRow] {
        match self {
            Self::Append(rows) => rows,
            Self::Remove { .. } | Self::Load(_) | Self::Drop { .. } => &[],
        }
    }
}
