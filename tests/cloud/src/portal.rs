//! The portal: which devices exist, under which names, with which template. Shared by IoTConnect and DPS.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context as _;

use crate::device::{Device, Identity};
use crate::hub::{Hub, Registration};
use crate::limits::DEVICES_MAX;
use crate::protocol::Protocol;

/// Devices by unique id. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Portal {
    pub(crate) cpid: Arc<str>,
    pub(crate) env: Arc<str>,
    pub(crate) scope_id: Arc<str>,
    pub(crate) sid: Arc<str>,
    devices: Arc<Mutex<BTreeMap<String, Device>>>,
}

/// The host name a device belongs to until DPS moves it.
pub(crate) const HOST: &str = "localhost";
/// The company in the URL of the 2.1 identity (`cg`).
pub(crate) const COMPANY_GUID: &str = "b892c353-e375-4cc3-8841-32e271e26122";
/// What a 2.1 gateway names itself by when it creates a child (`meta.gtw.g`). One for all: a gateway is known by its topic.
pub(crate) const GATEWAY_GUID: &str = "8d1f0000-0000-4000-8000-00000000000a";

impl Portal {
    pub(crate) fn new(cpid: &str, env: &str, scope_id: &str, sid: &str) -> Self {
        let (cpid, env, scope_id, sid) = (cpid.into(), env.into(), scope_id.into(), sid.into());
        Self { cpid, env, scope_id, sid, devices: Arc::default() }
    }

    /// Creates the device, or replaces one of the same name; a symmetric key device that is in the hub gets there now.
    pub(crate) fn create(&self, device: Device, hub: &Hub) -> anyhow::Result<()> {
        anyhow::ensure!(!device.unique_id.is_empty(), "a device needs a unique id");
        if let Identity::SymmetricKey { key, in_hub: true } = &device.identity {
            let registration = Registration {
                cpid: self.cpid.to_string(),
                unique_id: device.unique_id.clone(),
                host: HOST.to_owned(),
                keys: vec![key.clone()],
            };
            hub.register(&self.hub_id(&device), registration)?;
        }
        let mut devices = self.lock();
        anyhow::ensure!(devices.len() < DEVICES_MAX, "the portal is full: {DEVICES_MAX} devices");
        devices.insert(device.unique_id.clone(), device);
        Ok(())
    }

    pub(crate) fn get(&self, unique_id: &str) -> Option<Device> {
        self.lock().get(unique_id).cloned()
    }

    /// The device that DPS knows under this registration id (`{cpId}-{uniqueId}`); ids are not case-sensitive there.
    pub(crate) fn by_registration(&self, registration_id: &str) -> Option<Device> {
        self.lock().values().find(|device| self.registration_id(device).eq_ignore_ascii_case(registration_id)).cloned()
    }

    /// The device that the hub knows under this id.
    pub(crate) fn by_hub_id(&self, id: &str) -> Option<Device> {
        self.lock().values().find(|device| self.hub_id(device) == id).cloned()
    }

    /// Whether any device is offered this protocol.
    pub(crate) fn offers(&self, protocol: Protocol) -> bool {
        self.lock().values().any(|device| device.offer.includes(protocol))
    }

    pub(crate) fn all(&self) -> Vec<Device> {
        self.lock().values().cloned().collect()
    }

    pub(crate) fn registration_id(&self, device: &Device) -> String {
        format!("{}-{}", self.cpid, device.unique_id)
    }

    pub(crate) fn hub_id(&self, device: &Device) -> String {
        device.hub_device_id.clone().unwrap_or_else(|| self.registration_id(device))
    }

    pub(crate) fn enrol(&self, unique_id: &str, endorsement_key: Option<Vec<u8>>) -> anyhow::Result<()> {
        let mut devices = self.lock();
        let device = devices.get_mut(unique_id).with_context(|| format!("the portal does not know {unique_id}"))?;
        device.identity = Identity::Tpm { endorsement_key };
        Ok(())
    }

    pub(crate) fn edit<T>(&self, unique_id: &str, edit: impl FnOnce(&mut Device) -> T) -> anyhow::Result<T> {
        let mut devices = self.lock();
        let device = devices.get_mut(unique_id).with_context(|| format!("the portal does not know {unique_id}"))?;
        Ok(edit(device))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Device>> {
        self.devices.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
