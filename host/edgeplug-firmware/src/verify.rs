//! Whether the files of an update are what their maker meant: length, digests, signatures.
//!
//! What must stay true: what anybody told of a file must agree, not only the first that is found; a digest that is not
//! signed protects from accidents only, so that in mode `require` a signature over the file itself or over the list of
//! digests is needed; a bundle brings rights and so needs one in every mode.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read as _};

use edgeplug_signature::{
    FileSignature, NotSigned, SIGNATURE_BYTES_MAX, SignatureCheck, SignatureMode, SignaturePolicy, Signed,
};
use sha2::{Digest as _, Sha256};

use crate::failure::{FailureKind, Refusal};
use crate::hash::{Sha256Digest, hex};
use crate::job::Job;
use crate::marker::{self, Marker, Verdict, seal};
use crate::name::{self, Component, SUMS, digest_of, is_sidecar, signature_of};
use crate::options::DigestPolicy;
use crate::sums;

/// Files of one update; the cloud sends a handful.
const FILES_MAX: usize = 64;
/// A list of as many digests with the longest names.
const SUMS_BYTES_MAX: u64 = 64 << 10;
const BUFFER_LEN: usize = 128 << 10;

/// What an operator wants.
#[derive(Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) signature: &'a SignaturePolicy,
    pub(crate) digest: DigestPolicy,
}

/// Why the files are not taken.
enum Failure {
    /// They are not what they should be; a download put together of several answers may be the reason.
    Content(String),
    /// One of them is not here as it was downloaded.
    Missing(String),
    /// They are, and still they are not wanted.
    Unwanted(String),
    Disk(io::Error),
}

/// The sidecars of an update that are about several files.
#[derive(Default)]
struct List {
    sums: BTreeMap<String, Sha256Digest>,
    /// What became of its signature, where there is a list and somebody looked.
    signed: Option<Result<Signed, NotSigned>>,
}

/// A file as it was read.
pub(crate) struct Measure {
    pub(crate) size: u64,
    pub(crate) sha256: Sha256Digest,
    signed: Option<Result<Signed, NotSigned>>,
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Disk(error)
    }
}

/// Verifies the files of these names, all of the update, and marks what may be handed over, in their order.
pub(crate) fn verify(job: &Job, names: &[String], rules: Rules<'_>) -> Result<Vec<Verdict>, Refusal> {
    let refused = |kind, text| Refusal { kind, text };
    match judge(job, names, rules) {
        Ok(verdicts) => Ok(verdicts),
        Err(Failure::Unwanted(text)) => Err(refused(FailureKind::Refused, text)),
        Err(Failure::Disk(error)) => {
            Err(refused(FailureKind::Disk, format!("cannot read or write the staging directory: {error}")))
        }
        Err(Failure::Missing(name)) => match job.discard(&name) {
            Ok(()) => Err(refused(FailureKind::Transient, format!("{name} is not here as it was downloaded"))),
            Err(error) => Err(refused(FailureKind::Disk, format!("cannot throw {name} away: {error}"))),
        },
        Err(Failure::Content(text)) => match discard_resumed(job, names) {
            Ok(false) => Err(refused(FailureKind::Refused, text)),
            Ok(true) => {
                let text = format!("{text}; it was put together of several downloads, which are thrown away");
                Err(refused(FailureKind::Transient, text))
            }
            Err(error) => Err(refused(FailureKind::Disk, format!("{text}; cannot throw it away: {error}"))),
        },
    }
}

/// Reads a whole file.
pub(crate) fn measure(mut file: &File, mut check: Option<SignatureCheck<'_>>) -> io::Result<Measure> {
    let mut buffer = vec![0; BUFFER_LEN];
    let (mut size, mut hasher) = (0_u64, Sha256::new());
    loop {
        let len = match file.read(&mut buffer) {
            Ok(0) => break,
            Ok(len) => len,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        let piece = buffer.get(..len).unwrap_or_default();
        hasher.update(piece);
        if let Some(check) = &mut check {
            check.update(piece);
        }
        size += u64::try_from(len).unwrap_or(u64::MAX);
    }
    Ok(Measure { size, sha256: hasher.finalize().into(), signed: check.map(SignatureCheck::finish) })
}

fn judge(job: &Job, names: &[String], rules: Rules<'_>) -> Result<Vec<Verdict>, Failure> {
    marker::remove(&job.files)?;
    check_names(names)?;
    let names_given: BTreeSet<&str> = names.iter().map(String::as_str).collect();
    let update = Update { job, names: names_given, rules };
    for name in names.iter().filter(|name| is_sidecar(name)) {
        update.measured(name, None)?;
    }
    let list = update.list()?;
    let payload = names.iter().filter(|name| !is_sidecar(name));
    let verdicts: Vec<Verdict> = payload.map(|name| update.verdict(name, &list)).collect::<Result<_, _>>()?;
    for name in names {
        if let Some(file) = job.files.open(name)? {
            seal(&file)?;
        }
    }
    Marker { files: verdicts.clone() }.write(&job.files)?;
    Ok(verdicts)
}

fn check_names(names: &[String]) -> Result<(), Failure> {
    let unwanted = |text| Err(Failure::Unwanted(text));
    if names.len() > FILES_MAX {
        return unwanted(format!("an update has at most {FILES_MAX} files, this one has {}", names.len()));
    }
    let mut seen = BTreeSet::new();
    for name in names {
        if !name::is_file(name) {
            return unwanted(format!("{name:?} is no name of a file"));
        }
        if !seen.insert(name) {
            return unwanted(format!("two files are called {name:?}"));
        }
    }
    if names.iter().all(|name| is_sidecar(name)) {
        return unwanted("the update holds no file to install, only signatures and digests".to_owned());
    }
    Ok(())
}

/// Throws away what was not downloaded in one go; says whether there was any.
fn discard_resumed(job: &Job, names: &[String]) -> io::Result<bool> {
    let mut found = false;
    for name in names.iter().filter(|name| name::is_file(name)) {
        if job.note(name)?.is_some_and(|note| note.resumed) {
            job.discard(name)?;
            found = true;
        }
    }
    Ok(found)
}

struct Update<'a> {
    job: &'a Job,
    names: BTreeSet<&'a str>,
    rules: Rules<'a>,
}

impl Update<'_> {
    fn verdict(&self, name: &str, list: &List) -> Result<Verdict, Failure> {
        let signature = if self.is_looked_at(name) { self.signature(name)? } else { None };
        let check = signature.as_ref().map(|signature| {
            let signature = signature.as_ref().map_err(Clone::clone)?;
            signature.begin(&self.rules.signature.keys)
        });
        let (check, not_begun) = match check {
            Some(Ok(check)) => (Some(check), None),
            Some(Err(error)) => (None, Some(Err(error))),
            None => (None, None),
        };
        let (measure, was_told) = self.measured(name, check)?;
        let is_vouched = self.is_vouched(name, &measure, list)? || was_told;
        let own = measure.signed.or(not_begun);
        let listed = list.signed.as_ref().filter(|_| list.sums.contains_key(name));
        let (signed_by, warning) = self.signed(name, own, listed)?;
        if signed_by.is_none() && !is_vouched && self.rules.digest == DigestPolicy::Require {
            return Err(Failure::Unwanted(format!(
                "nobody told the SHA-256 of {name}; add {name}.sha256 or a signed {SUMS} to the update, or set \
                 `ota.digest = \"if-given\"`"
            )));
        }
        let (size, sha256) = (measure.size, hex(&measure.sha256));
        Ok(Verdict { name: name.to_owned(), size, sha256, signed_by, is_vouched, warning })
    }

    /// Who signed a file well, or why nobody did where that is no reason to refuse it.
    fn signed(
        &self,
        name: &str,
        own: Option<Result<Signed, NotSigned>>,
        listed: Option<&Result<Signed, NotSigned>>,
    ) -> Result<(Option<String>, Option<String>), Failure> {
        // A bad signature is not mended by a good one elsewhere.
        let found = match (own, listed) {
            (Some(Err(error)), _) => Err(error),
            (_, Some(Err(error))) => Err(error.clone()),
            (Some(Ok(signed)), _) => Ok(signed),
            (None, Some(Ok(signed))) => Ok(signed.clone()),
            (None, None) if !self.is_looked_at(name) => return Ok((None, None)),
            (None, None) => Err(NotSigned::Missing { file: name.to_owned() }),
        };
        let error = match found {
            Ok(signed) => return Ok((Some(signed.key_id), None)),
            Err(error) => error,
        };
        let is_bundle = matches!(Component::of(name), Some(Component::Bundle(_)));
        let text = format!("{name}: {error}; {}", self.remedy(name, is_bundle));
        match error {
            _ if !is_bundle && self.rules.signature.mode != SignatureMode::Require => Ok((None, Some(text))),
            NotSigned::Changed { .. } | NotSigned::Unreadable { .. } => Err(Failure::Content(text)),
            _ => Err(Failure::Unwanted(text)),
        }
    }

    fn remedy(&self, name: &str, is_bundle: bool) -> String {
        if self.rules.signature.keys.is_empty() {
            return "set `ota.keys` to the keys whose signatures count".to_owned();
        }
        let why = if is_bundle { "a bundle must be signed: " } else { "" };
        format!(
            "{why}sign it with `minisign -S -m {name}` by a key of `ota.keys` ({}) and add {name}.minisig to the \
             update",
            self.rules.signature.key_ids()
        )
    }

    /// Whether signatures of this file matter.
    fn is_looked_at(&self, name: &str) -> bool {
        self.rules.signature.mode != SignatureMode::Off || matches!(Component::of(name), Some(Component::Bundle(_)))
    }

    /// The signature of a file, if the update has one.
    fn signature(&self, name: &str) -> Result<Option<Result<FileSignature, NotSigned>>, Failure> {
        let text = self.text(&signature_of(name), SIGNATURE_BYTES_MAX)?;
        Ok(text.map(|text| FileSignature::read(name, Some(&text))))
    }

    /// Whether somebody told the digest of a file; all who did must be right.
    fn is_vouched(&self, name: &str, measure: &Measure, list: &List) -> Result<bool, Failure> {
        let sidecar = digest_of(name);
        let single = self.text(&sidecar, SUMS_BYTES_MAX)?;
        let single = single.map(|text| sums::parse_single(&text, name)).transpose();
        let single = single.map_err(|reason| Failure::Content(format!("{sidecar}: {reason}")))?;
        let told = [(single, sidecar.as_str()), (list.sums.get(name).copied(), SUMS)];
        for (digest, who) in told.iter().filter_map(|(digest, who)| Some((digest.as_ref()?, who))) {
            agree(name, measure, digest, who)?;
        }
        Ok(told.iter().any(|(digest, _)| digest.is_some()))
    }

    fn list(&self) -> Result<List, Failure> {
        let Some(text) = self.text(SUMS, SUMS_BYTES_MAX)? else { return Ok(List::default()) };
        let sums = sums::parse(&text).map_err(|reason| Failure::Content(format!("{SUMS}: {reason}")))?;
        let signature =
            if self.names.iter().any(|name| self.is_looked_at(name)) { self.signature(SUMS)? } else { None };
        let keys = &self.rules.signature.keys;
        let signed = signature.map(|signature| signature?.check(keys, text.as_bytes()));
        Ok(List { sums, signed })
    }

    /// A complete file, compared with what its server told; says too whether that was its digest.
    fn measured(&self, name: &str, check: Option<SignatureCheck<'_>>) -> Result<(Measure, bool), Failure> {
        let missing = || Failure::Missing(name.to_owned());
        let (file, note) = self.job.complete(name)?.ok_or_else(missing)?;
        let measure = measure(&file, check)?;
        if Some(measure.size) != note.total {
            return Err(missing());
        }
        if let Some(digest) = &note.sha256 {
            agree(name, &measure, digest, "the server")?;
        }
        Ok((measure, note.sha256.is_some()))
    }

    /// A sidecar, if the update has it.
    fn text(&self, name: &str, bytes_max: u64) -> Result<Option<String>, Failure> {
        if !self.names.contains(name) {
            return Ok(None);
        }
        let Some(file) = self.job.files.open(name)? else { return Ok(None) };
        let mut text = Vec::new();
        file.take(bytes_max + 1).read_to_end(&mut text)?;
        if u64::try_from(text.len()).is_ok_and(|len| len > bytes_max) {
            return Err(Failure::Content(format!("{name} is larger than {bytes_max} bytes")));
        }
        let text = String::from_utf8(text).map_err(|_| Failure::Content(format!("{name} is no text")))?;
        Ok(Some(text))
    }
}

fn agree(name: &str, measure: &Measure, digest: &Sha256Digest, who: &str) -> Result<(), Failure> {
    if measure.sha256 == *digest {
        return Ok(());
    }
    let (is, should) = (hex(&measure.sha256), hex(digest));
    Err(Failure::Content(format!("the SHA-256 of {name} is {is}, but {who} says {should}")))
}
