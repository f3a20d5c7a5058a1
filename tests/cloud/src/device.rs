//! What the simulated portal knows of a device: its names, how it proves itself, what it is offered.

use crate::key::Key;
use crate::protocol::Offer;
use crate::template::{Attribute, Child, Rule, Template};

/// A device as an operator would create it in the portal.
///
/// ```
/// use edgeplug_cloud::{Attribute, Device};
/// let device = Device::symmetric("GW")
///     .tag("gw")
///     .attribute(Attribute::number("temp").tag("gw").valid("1to15"))
///     .child("C1", "c");
/// ```
#[derive(Clone, Debug)]
pub struct Device {
    /// The device's name in IoTConnect.
    pub unique_id: String,
    /// The device's name in the hub; `{cpId}-{uniqueId}` when absent, as on a shared hub.
    pub hub_device_id: Option<String>,
    /// How it proves itself.
    pub identity: Identity,
    /// Which protocols it is offered; the legacy one unless said otherwise.
    pub offer: Offer,
    /// Its template.
    pub template: Template,
}

/// How a device proves itself.
#[derive(Clone, Debug)]
pub enum Identity {
    /// By its TPM (`at` 4): it gets its key from DPS.
    Tpm {
        /// The enrolled EK, as the whole TPM2B_PUBLIC; without one, whichever comes first if the cloud trusts first EKs.
        endorsement_key: Option<Vec<u8>>,
    },
    /// By a symmetric key (`at` 5).
    SymmetricKey {
        /// The key of both enrolment and hub.
        key: Key,
        /// Whether the hub knows the device already; otherwise it must go through DPS first.
        in_hub: bool,
    },
}

impl Device {
    /// A device with a random symmetric key that the hub knows already.
    #[must_use]
    pub fn symmetric(unique_id: &str) -> Self {
        Self::new(unique_id, Identity::SymmetricKey { key: Key::random(), in_hub: true })
    }

    /// A TPM device that is in the portal but not yet in the hub; enrol its EK with [`Device::endorsement_key`] or
    /// `Dps::enrol`, or let the cloud trust the first one it sees.
    #[must_use]
    pub fn tpm(unique_id: &str) -> Self {
        Self::new(unique_id, Identity::Tpm { endorsement_key: None })
    }

    fn new(unique_id: &str, identity: Identity) -> Self {
        let (offer, template) = (Offer::default(), Template::default());
        Self { unique_id: unique_id.to_owned(), hub_device_id: None, identity, offer, template }
    }

    /// Sets the symmetric key.
    #[must_use]
    pub fn key(mut self, key: Key) -> Self {
        let in_hub = !matches!(self.identity, Identity::SymmetricKey { in_hub: false, .. });
        self.identity = Identity::SymmetricKey { key, in_hub };
        self
    }

    /// A symmetric key device that must go through DPS before the hub knows it.
    #[must_use]
    pub fn via_dps(mut self) -> Self {
        if let Identity::SymmetricKey { in_hub, .. } = &mut self.identity {
            *in_hub = false;
        }
        self
    }

    /// Enrols the EK: the bytes of the whole TPM2B_PUBLIC.
    #[must_use]
    pub fn endorsement_key(mut self, public: Vec<u8>) -> Self {
        self.identity = Identity::Tpm { endorsement_key: Some(public) };
        self
    }

    /// Gives it another name in the hub than `{cpId}-{uniqueId}`.
    #[must_use]
    pub fn hub_device_id(mut self, id: &str) -> Self {
        self.hub_device_id = Some(id.to_owned());
        self
    }

    /// Sets the protocols it is offered.
    #[must_use]
    pub fn offer(mut self, offer: Offer) -> Self {
        self.offer = offer;
        self
    }

    /// Replaces the whole template.
    #[must_use]
    pub fn template(mut self, template: Template) -> Self {
        self.template = template;
        self
    }

    /// Sets the template's guid.
    #[must_use]
    pub fn guid(mut self, guid: &str) -> Self {
        self.template.guid = guid.to_owned();
        self
    }

    /// Sets the gateway's own tag.
    #[must_use]
    pub fn tag(mut self, tag: &str) -> Self {
        self.template.tag = tag.to_owned();
        self
    }

    /// Sets the data frequency in seconds.
    #[must_use]
    pub fn data_frequency_s(mut self, seconds: u32) -> Self {
        self.template.data_frequency_s = seconds;
        self
    }

    /// Makes it an edge device.
    #[must_use]
    pub fn edge(mut self) -> Self {
        self.template.edge = true;
        self
    }

    /// Adds a rule of an edge device.
    #[must_use]
    pub fn rule(mut self, rule: Rule) -> Self {
        self.template.rules.push(rule);
        self
    }

    /// Adds a twin setting.
    #[must_use]
    pub fn setting(mut self, setting: Attribute) -> Self {
        self.template.settings.push(setting);
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, attribute: Attribute) -> Self {
        self.template.attributes.push(attribute);
        self
    }

    /// Adds attributes.
    #[must_use]
    pub fn attributes(mut self, attributes: impl IntoIterator<Item = Attribute>) -> Self {
        self.template.attributes.extend(attributes);
        self
    }

    /// Adds a child device.
    #[must_use]
    pub fn child(mut self, id: &str, tag: &str) -> Self {
        self.template.children.push(Child { id: id.to_owned(), tag: tag.to_owned() });
        self
    }
}
