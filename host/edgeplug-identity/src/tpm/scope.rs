//! One call's use of a TPM: the commands it sends, and the one place that cleans up after it.
//!
//! A TPM without a resource manager has room for three transient objects and three loaded sessions. Whatever a call
//! starts, loads or opens is written down here first and released at the end of the call, in error as in success.

use tss_esapi::Context;
use tss_esapi::attributes::SessionAttributesBuilder;
use tss_esapi::constants::{CapabilityType, SessionType};
use tss_esapi::handles::{KeyHandle, ObjectHandle, PersistentTpmHandle, SessionHandle, TpmHandle};
use tss_esapi::interface_types::algorithm::HashingAlgorithm;
use tss_esapi::interface_types::dynamic_handles::Persistent;
use tss_esapi::interface_types::resource_handles::{Hierarchy, Provision};
use tss_esapi::interface_types::session_handles::{AuthSession, PolicySession};
use tss_esapi::structures::{CapabilityData, MaxBuffer, Name, Public, SymmetricDefinition};

use crate::error::IdentityError;
use crate::keys::Signature;
use crate::tpm::fault::{Fault, Step};

/// The least that `TPM2_GetRandom` can be asked for usefully.
const RANDOM_BYTES: usize = 8;

pub(super) struct Scope<'c> {
    context: &'c mut Context,
    sessions: Vec<AuthSession>,
    /// Transient objects.
    loaded: Vec<ObjectHandle>,
    /// The library's records of persistent objects; nothing in the TPM.
    opened: Vec<ObjectHandle>,
}

/// A key in the TPM and what its public area says.
pub(super) struct Object {
    pub(super) handle: KeyHandle,
    pub(super) public: Public,
    pub(super) name: Name,
}

/// What a session hides beside proving passwords.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Hide {
    /// Nothing: for commands without a parameter that could be encrypted.
    Nothing,
    /// The first parameter of command and response.
    Parameters,
}

/// Up to three sessions for one command.
type Sessions = (Option<AuthSession>, Option<AuthSession>, Option<AuthSession>);

impl<'c> Scope<'c> {
    pub(super) fn new(context: &'c mut Context) -> Self {
        Self { context, sessions: Vec::new(), loaded: Vec::new(), opened: Vec::new() }
    }

    /// Releases everything; what could not be released is an error even where the work itself succeeded, because the
    /// connection must then be given up.
    pub(super) fn finish<T>(mut self, result: Result<T, Fault>) -> Result<T, Fault> {
        let released = self.release();
        result.and_then(|value| released.map(|()| value))
    }

    /// Sends commands under `sessions`.
    pub(super) fn run<T>(
        &mut self,
        step: Step,
        sessions: Sessions,
        commands: impl FnOnce(&mut Context) -> tss_esapi::Result<T>,
    ) -> Result<T, Fault> {
        let done = self.context.execute_with_sessions(sessions, commands).map_err(|error| Fault::tss(step, error));
        done.map_err(|fault| if fault.may_be_padding() { self.judge_padding(fault) } else { fault })
    }

    /// An HMAC session: passwords are proved, not sent. Salted to `salt` where such a key exists yet, so that a
    /// listener on the bus cannot derive its keys.
    pub(super) fn session(&mut self, salt: Option<KeyHandle>, hide: Hide) -> Result<AuthSession, Fault> {
        let session = self.start(salt, SessionType::Hmac)?;
        if hide == Hide::Parameters {
            let (attributes, mask) = SessionAttributesBuilder::new().with_decrypt(true).with_encrypt(true).build();
            self.run(Step::new("set up a session"), (None, None, None), |context| {
                context.tr_sess_set_attributes(session, attributes, mask)
            })?;
        }
        Ok(session)
    }

    /// A policy session: proves what a key's policy demands.
    pub(super) fn policy_session(&mut self) -> Result<PolicySession, Fault> {
        let session = self.start(None, SessionType::Policy)?;
        PolicySession::try_from(session).map_err(|error| Fault::tss(Step::new("start a policy session"), error))
    }

    /// Ends a session early, for calls that would otherwise need more than the TPM has room for.
    pub(super) fn end(&mut self, session: AuthSession) -> Result<(), Fault> {
        self.sessions.retain(|other| *other != session);
        self.flush(SessionHandle::from(session).into())
    }

    /// Releases a transient object with this call.
    pub(super) fn flush_later(&mut self, handle: ObjectHandle) {
        self.loaded.push(handle);
    }

    /// Leaves a transient object loaded beyond this call.
    pub(super) fn keep(&mut self, handle: ObjectHandle) {
        self.loaded.retain(|other| *other != handle);
    }

    /// Releases a transient object now.
    pub(super) fn unload(&mut self, handle: ObjectHandle) -> Result<(), Fault> {
        self.keep(handle);
        self.flush(handle)
    }

    /// The key at a persistent handle, if there is an object.
    pub(super) fn persistent(&mut self, handle: u32, role: &'static str) -> Result<Option<Object>, Fault> {
        let bad = |problem: &str| IdentityError::BadHandle { handle, role, problem: problem.to_owned() };
        let tpm_handle = PersistentTpmHandle::new(handle)
            .map_err(|_| bad("persistent handles lie between 0x81000000 and 0x81ffffff"))?;
        // Asked for first, because the library complains on stderr about a handle where nothing lies.
        let step = Step::new("list its persistent objects");
        let (listed, _) =
            self.run(step, (None, None, None), |context| context.get_capability(CapabilityType::Handles, handle, 1))?;
        let expected = TpmHandle::Persistent(tpm_handle);
        if !matches!(listed, CapabilityData::Handles(handles) if handles.first() == Some(&expected)) {
            return Ok(None);
        }
        let step = Step::new("read a public area");
        let object = self
            .run(step, (None, None, None), |context| context.tr_from_tpm_public(TpmHandle::Persistent(tpm_handle)))?;
        self.opened.push(object);
        let read = self.context.execute_without_session(|context| context.read_public(object.into()));
        match read {
            Ok((public, name, _)) => Ok(Some(Object { handle: object.into(), public, name })),
            Err(tss_esapi::Error::WrapperError(_)) => Err(bad("its public area has an unknown form").into()),
            Err(error) => Err(Fault::tss(step, error)),
        }
    }

    /// Creates a primary key, loaded for this call.
    pub(super) fn create_primary(
        &mut self,
        step: Step,
        hierarchy: Hierarchy,
        public: Public,
        session: AuthSession,
    ) -> Result<(KeyHandle, Public), Fault> {
        let created = self.run(step, (Some(session), None, None), |context| {
            context.create_primary(hierarchy, public, None, None, None, None)
        })?;
        self.flush_later(created.key_handle.into());
        Ok((created.key_handle, created.out_public))
    }

    /// Makes a transient object persistent.
    pub(super) fn persist(
        &mut self,
        step: Step,
        transient: KeyHandle,
        handle: u32,
        session: AuthSession,
    ) -> Result<(), Fault> {
        let mut record = self.evict_control(step, transient.into(), handle, session)?;
        self.context.tr_close(&mut record).map_err(|error| Fault::tss(step, error))
    }

    /// Removes a persistent object.
    pub(super) fn evict(
        &mut self,
        step: Step,
        object: &Object,
        handle: u32,
        session: AuthSession,
    ) -> Result<(), Fault> {
        let mut record = ObjectHandle::from(object.handle);
        self.evict_control(step, record, handle, session)?;
        self.opened.retain(|other| *other != record);
        // libtss2 3.2 keeps its record of what it just removed, and would later take the next object at this handle
        // for an impostor; the crate above believes it gone. Closing is all that helps there, and an error elsewhere.
        let _ = self.context.tr_close(&mut record);
        Ok(())
    }

    /// Signs with the key's empty password.
    pub(super) fn hmac(&mut self, key: KeyHandle, bytes: &[u8]) -> Result<Signature, Fault> {
        let step = Step::new("sign").with_password_of("signing key");
        let buffer = MaxBuffer::try_from(bytes).map_err(|error| Fault::tss(step, error))?;
        let digest = self.run(step, (Some(AuthSession::Password), None, None), |context| {
            context.hmac(key.into(), buffer, HashingAlgorithm::Sha256)
        })?;
        <[u8; 32]>::try_from(digest).map(Signature::new).map_err(|error| Fault::tss(step, error))
    }

    /// Access for queries that need no session and leave nothing behind.
    pub(super) fn context(&mut self) -> &mut Context {
        self.context
    }

    /// Some TPMs, swtpm among them, answer a seed that is encrypted for another key as if they had failed for good. One
    /// that still makes random numbers has not.
    fn judge_padding(&mut self, fault: Fault) -> Fault {
        let alive = self.context.execute_without_session(|context| context.get_random(RANDOM_BYTES));
        if alive.is_ok() { fault.into_wrong_padding() } else { fault }
    }

    fn start(&mut self, salt: Option<KeyHandle>, kind: SessionType) -> Result<AuthSession, Fault> {
        let step = Step::new("start a session");
        let started = self.run(step, (None, None, None), |context| {
            let cipher = SymmetricDefinition::AES_128_CFB;
            context.start_auth_session(salt, None, None, kind, cipher, HashingAlgorithm::Sha256)
        })?;
        let session = started.ok_or_else(|| {
            Fault::tss(step, tss_esapi::Error::WrapperError(tss_esapi::WrapperErrorKind::WrongValueFromTpm))
        })?;
        self.sessions.push(session);
        Ok(session)
    }

    fn evict_control(
        &mut self,
        step: Step,
        object: ObjectHandle,
        handle: u32,
        session: AuthSession,
    ) -> Result<ObjectHandle, Fault> {
        self.run(step, (Some(session), None, None), |context| {
            let persistent = Persistent::Persistent(PersistentTpmHandle::new(handle)?);
            context.evict_control(Provision::Owner, object, persistent)
        })
    }

    fn flush(&mut self, handle: ObjectHandle) -> Result<(), Fault> {
        self.context.flush_context(handle).map_err(|error| Fault::tss(Step::new("flush what was loaded"), error))
    }

    /// Goes through everything even after a failure; reports the first.
    fn release(&mut self) -> Result<(), Fault> {
        let mut outcome = Ok(());
        let sessions = std::mem::take(&mut self.sessions);
        let handles = sessions.into_iter().map(|session| ObjectHandle::from(SessionHandle::from(session)));
        for handle in handles.chain(std::mem::take(&mut self.loaded)) {
            outcome = outcome.and(self.flush(handle));
        }
        for mut record in std::mem::take(&mut self.opened) {
            let closed = self.context.tr_close(&mut record);
            outcome = outcome.and(closed.map_err(|error| Fault::tss(Step::new("close what was opened"), error)));
        }
        outcome
    }
}

/// For a scope that was never finished; there is nobody to report to.
impl Drop for Scope<'_> {
    fn drop(&mut self) {
        if self.release().is_err() {
            tracing::debug!("the TPM may still hold what a call loaded");
        }
    }
}
