//! What a trial breaks on purpose. The daemon breaks nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Cloning shares it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Faults(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    /// Every second read of a file or of hardware fails.
    eio: bool,
    /// Every number in a file reads `nan`.
    nan: bool,
    reads: AtomicU64,
}

impl Faults {
    pub(crate) fn new(eio: bool, nan: bool) -> Self {
        Self(Arc::new(Inner { eio, nan, reads: AtomicU64::new(0) }))
    }

    /// The error with which this read shall fail, if it shall.
    pub(crate) fn on_read(&self) -> Option<String> {
        // As the operating system says it (strerror(3), EIO).
        let fails = self.0.eio && self.0.reads.fetch_add(1, Ordering::Relaxed) % 2 == 1;
        fails.then(|| "Input/output error (os error 5)".to_owned())
    }

    /// What a file shall hold instead.
    pub(crate) fn on_content(&self, content: Vec<u8>) -> Vec<u8> {
        if !self.0.nan {
            return content;
        }
        let mut told = Vec::with_capacity(content.len());
        let mut rest = content.as_slice();
        while let Some(byte) = rest.first() {
            // A minus behind a word or a number joins the two, as in `1-2`.
            let is_joined = told.last().is_some_and(u8::is_ascii_alphanumeric);
            match number_len(rest, !is_joined) {
                0 => {
                    told.push(*byte);
                    rest = rest.get(1..).unwrap_or_default();
                }
                len => {
                    told.extend(b"nan");
                    rest = rest.get(len..).unwrap_or_default();
                }
            }
        }
        told
    }
}

/// Bytes of the number at the beginning: digits, with a sign if it `may_be_signed`, a fraction and an exponent if they are
/// there; 0 when there is none.
fn number_len(text: &[u8], may_be_signed: bool) -> usize {
    let digits = |from: usize| text.iter().skip(from).take_while(|byte| byte.is_ascii_digit()).count();
    let is = |at: usize, wanted: &[u8]| text.get(at).is_some_and(|byte| wanted.contains(byte));
    let sign = usize::from(may_be_signed && is(0, b"+-"));
    let whole = digits(sign);
    if whole == 0 {
        return 0;
    }
    let mut len = sign + whole;
    if is(len, b".") && digits(len + 1) > 0 {
        len += 1 + digits(len + 1);
    }
    let exponent = len + 1 + usize::from(is(len + 1, b"+-"));
    if is(len, b"eE") && digits(exponent) > 0 {
        len = exponent + digits(exponent);
    }
    len
}

#[cfg(test)]
mod tests;
