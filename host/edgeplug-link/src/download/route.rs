//! The way from one redirect to the next (RFC 9110, section 15.4).

use reqwest::{Url, header::HeaderValue};

use super::error::RedirectProblem;
use crate::http::{Target, TargetProblem};

/// Redirects followed for one file; a portal before a content network before a store takes two or three.
const REDIRECTS_MAX: usize = 5;

/// Where a download has been, and where it is.
pub(super) struct Route {
    /// Without their fragments, the present one included: a server sees none, and so can turn in a circle.
    seen: Vec<Url>,
    target: Target,
}

impl Route {
    pub(super) fn new(mut source: Target) -> Self {
        source.url.set_fragment(None);
        Self { seen: vec![source.url.clone()], target: source }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// Goes where a redirect leads. Nothing but the range goes along: there are no cookies and no credentials.
    pub(super) fn redirected(&mut self, location: Option<&HeaderValue>) -> Result<(), RedirectProblem> {
        let location = location.and_then(|location| std::str::from_utf8(location.as_bytes()).ok());
        let location = location.filter(|location| !location.is_empty()).ok_or(RedirectProblem::NoTarget)?;
        let mut url = self.target.url.join(location).map_err(|_| RedirectProblem::NoTarget)?;
        url.set_fragment(None);
        let next = Target::new(url).map_err(|problem| match problem {
            TargetProblem::NotUrl => RedirectProblem::NoTarget,
            TargetProblem::PlainText { .. } => RedirectProblem::PlainText,
        })?;
        // Not even to this machine: who is asked over TLS must not choose among the services here.
        if self.target.is_secure() && !next.is_secure() {
            return Err(RedirectProblem::PlainText);
        }
        if self.seen.contains(&next.url) {
            return Err(RedirectProblem::Loop);
        }
        if self.seen.len() > REDIRECTS_MAX {
            return Err(RedirectProblem::TooMany);
        }
        self.seen.push(next.url.clone());
        self.target = next;
        Ok(())
    }
}

pub(super) fn is_redirect(status: u16) -> bool {
    matches!(status, 301 | 302 | 303 | 307 | 308)
}

#[cfg(test)]
mod tests;
