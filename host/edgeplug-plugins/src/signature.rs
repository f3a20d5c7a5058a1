//! Whose components are run: minisign signatures beside them, `name.wasm.minisig`, and what their makers say in them.
//!
//! minisign (<https://jedisct1.github.io/minisign/>) signs the file and, with a second signature, the first one
//! together with a *trusted comment*. Of that comment the words `version:1.2.3`, `file:name.wasm` and `plugin:name`
//! count here.
//!
//! What must stay true: nothing a signature says is believed before both of its signatures are checked; a signature
//! that names another file is none, because a file's name is what its rights hang on; in mode `require` a release is
//! never followed by an older one, nor by one that does not say which it is.
//!
//! Deliberately absent: signing, which nobody should do on the device; expiry, for which a device without a clock has
//! no answer.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use minisign_verify::{Error, PublicKey, Signature};

pub(crate) use version::ReleaseVersion;

mod version;

/// A signature has four lines; minisign takes trusted comments of up to 8 KiB.
const SIGNATURE_BYTES_MAX: u64 = 16 << 10;
/// A public key has two lines.
const KEY_BYTES_MAX: u64 = 4 << 10;
/// Keys and signatures begin with an algorithm of two bytes, then comes the key's id, of which its text is the number.
const ALGORITHM_LEN: usize = 2;
const KEY_ID_LEN: usize = 8;

/// What the operator wants of signatures.
#[derive(Clone, Debug, Default)]
pub struct SignaturePolicy {
    pub mode: SignatureMode,
    /// Whose signatures count.
    pub keys: Vec<SigningKey>,
}

/// `plugins.signature` of the configuration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureMode {
    /// A component without a good signature is refused.
    Require,
    /// It runs, and the log and the status say so.
    Warn,
    /// Nobody looks.
    #[default]
    Off,
}

/// A minisign public key.
#[derive(Clone, Debug)]
pub struct SigningKey {
    id: String,
    key: PublicKey,
}

/// Why there is no [`SignaturePolicy`].
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    #[error(
        "{0:?} is no minisign public key; it is the second line of the file `minisign.pub` that `minisign -G` wrote, \
         56 characters that begin with RW, or the path of that file"
    )]
    NotAKey(String),
    #[error("cannot read the key {path}", path = .0.display())]
    Read(PathBuf, #[source] io::Error),
    #[error("{path} is no minisign public key; make a pair with `minisign -G` and name its `minisign.pub`", path = .0.display())]
    NotAKeyFile(PathBuf),
    #[error("the mode {0:?} needs a key whose signatures count")]
    NoKeys(&'static str),
}

/// Where a component comes from, as far as its signature says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Provenance {
    /// Who signed it, as minisign prints it; none when nobody looked, or in mode `warn` when nobody signed it well.
    pub(crate) key_id: Option<String>,
    /// The release that the signature names.
    pub(crate) version: Option<ReleaseVersion>,
    /// What is wrong with it in mode `warn`, to be said.
    pub(crate) words: Option<String>,
}

impl SignaturePolicy {
    /// Of what the configuration says: each key as its text, or as the path of a file with it.
    pub fn new(mode: SignatureMode, keys: &[String]) -> Result<Self, KeyError> {
        let keys: Vec<_> = keys.iter().map(|entry| SigningKey::named(entry)).collect::<Result<_, _>>()?;
        match mode {
            SignatureMode::Require if keys.is_empty() => Err(KeyError::NoKeys("require")),
            SignatureMode::Warn if keys.is_empty() => Err(KeyError::NoKeys("warn")),
            _ => Ok(Self { mode, keys }),
        }
    }

    /// Judges a component of this file name by the text of the file beside it. The error is the reason of a refusal.
    pub(crate) fn check(
        &self,
        file_name: &str,
        component: &[u8],
        signature: Option<&str>,
    ) -> Result<Provenance, String> {
        let refused = match self.mode {
            SignatureMode::Off => return Ok(Provenance::default()),
            SignatureMode::Require | SignatureMode::Warn => match self.signed(file_name, component, signature) {
                Ok(provenance) => return Ok(provenance),
                Err(reason) => format!("{reason}; {}", self.remedy(file_name)),
            },
        };
        self.said(refused).map(|words| Provenance { words, ..Provenance::default() })
    }

    /// Judges the release of a component by the highest one that proved itself. The error is the reason of a refusal,
    /// the words are to be said.
    pub(crate) fn against_rollback(
        &self,
        provenance: &Provenance,
        highest: Option<ReleaseVersion>,
    ) -> Result<Option<String>, String> {
        let (Some(highest), Some(_)) = (highest, &provenance.key_id) else { return Ok(None) };
        let what = match provenance.version {
            Some(version) if version >= highest => return Ok(None),
            Some(version) => format!("it is release {version}, and {highest} has run here"),
            None => format!("its signature names no release, and {highest} has run here"),
        };
        self.said(format!("{what}; to go back, sign the older component as a release of at least {highest}"))
    }

    fn said(&self, reason: String) -> Result<Option<String>, String> {
        match self.mode {
            SignatureMode::Require => Err(reason),
            SignatureMode::Warn => Ok(Some(reason)),
            SignatureMode::Off => Ok(None),
        }
    }

    fn signed(&self, file_name: &str, component: &[u8], signature: Option<&str>) -> Result<Provenance, String> {
        let Some(text) = signature else {
            return Err(format!("it is not signed: there is no {file_name}.minisig beside it"));
        };
        let unreadable = || format!("{file_name}.minisig is no minisign signature");
        let signature = Signature::decode(text).map_err(|_| unreadable())?;
        let id = text.lines().nth(1).and_then(key_id).ok_or_else(unreadable)?;
        // An id is a name, no proof: two keys may bear the same.
        let results: Vec<_> = self.keys.iter().map(|key| key.key.verify(component, &signature, true)).collect();
        if !results.iter().any(Result::is_ok) {
            let known = results.iter().any(|result| !matches!(result, Err(Error::UnexpectedKeyId)));
            return Err(if known {
                format!("it is not what key {id} signed: {file_name} or {file_name}.minisig was changed or damaged")
            } else {
                format!("it is signed by key {id}, which is none of ours")
            });
        }
        let version = Claims::read(signature.trusted_comment())
            .and_then(|claims| claims.version_for(file_name))
            .map_err(|reason| format!("the signature of key {id} {reason}"))?;
        Ok(Provenance { key_id: Some(id), version, words: None })
    }

    fn remedy(&self, file_name: &str) -> String {
        let ids: Vec<&str> = self.keys.iter().map(SigningKey::id).collect();
        format!(
            "sign it with `minisign -S -m {file_name} -t 'version:1.2.3 file:{file_name}'` by a key of `plugins.keys` ({})",
            ids.join(", ")
        )
    }
}

impl SigningKey {
    /// The id by which minisign names the key: sixteen hexadecimal digits.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// By an entry of the configuration.
    fn named(entry: &str) -> Result<Self, KeyError> {
        let entry = entry.trim();
        let is_path = entry.ends_with(".pub") || entry.starts_with(['/', '.']);
        if !is_path {
            return Self::parse(entry).ok_or_else(|| KeyError::NotAKey(entry.to_owned()));
        }
        let path = Path::new(entry);
        let text = read_text(path, KEY_BYTES_MAX).map_err(|error| KeyError::Read(path.to_owned(), error))?;
        // The comment before it is the owner's note.
        let key = text.lines().map(str::trim).rfind(|line| !line.is_empty());
        key.and_then(Self::parse).ok_or_else(|| KeyError::NotAKeyFile(path.to_owned()))
    }

    fn parse(text: &str) -> Option<Self> {
        Some(Self { id: key_id(text)?, key: PublicKey::from_base64(text).ok()? })
    }
}

/// The text of the signature beside a component, if there is one.
pub(crate) fn read_signature(path: &Path) -> io::Result<Option<String>> {
    match read_text(path, SIGNATURE_BYTES_MAX) {
        Ok(text) => Ok(Some(text)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// A longer text is cut and so will mean nothing, and what is no text has no meaning from the start.
fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    // A pipe must not hold up who looks at it.
    let file = File::options().read(true).custom_flags(libc::O_NONBLOCK).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Of the base64 of a key or a signature.
fn key_id(text: &str) -> Option<String> {
    let bytes = STANDARD.decode(text.trim()).ok()?;
    let id = bytes.get(ALGORITHM_LEN..ALGORITHM_LEN + KEY_ID_LEN)?.try_into().ok()?;
    Some(format!("{:016X}", u64::from_le_bytes(id)))
}

/// What a trusted comment says; each at most once.
#[derive(Debug, Default)]
struct Claims<'a> {
    version: Option<&'a str>,
    file: Option<&'a str>,
    plugin: Option<&'a str>,
}

impl<'a> Claims<'a> {
    fn read(comment: &'a str) -> Result<Self, String> {
        let mut claims = Self::default();
        for (key, value) in comment.split_whitespace().filter_map(|word| word.split_once(':')) {
            let place = match key {
                "version" => &mut claims.version,
                "file" => &mut claims.file,
                "plugin" => &mut claims.plugin,
                // When it was signed, and whatever else somebody notes.
                _ => continue,
            };
            if place.replace(value).is_some() {
                return Err(format!("says `{key}:` twice"));
            }
        }
        Ok(claims)
    }

    /// The release, once it is clear that all of it is about this file.
    fn version_for(&self, file_name: &str) -> Result<Option<ReleaseVersion>, String> {
        let plugin = file_name.strip_suffix(".wasm").unwrap_or(file_name);
        for (said, wanted) in [(self.file, file_name), (self.plugin, plugin)] {
            if let Some(said) = said.filter(|said| *said != wanted) {
                return Err(format!("is for {said:?}, not for {wanted:?}"));
            }
        }
        let parse = |text: &str| text.parse().map_err(|error| format!("says `version:{text}`, but {error}"));
        self.version.map(parse).transpose()
    }
}

#[cfg(test)]
mod tests;
