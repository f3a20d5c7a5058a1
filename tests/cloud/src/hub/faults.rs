//! The fault switches of the hub.

use std::time::Duration;

use super::{End, Hub, Order, Pubacks};

impl Hub {
    /// Ends the device's TCP connection now, without a word of MQTT or TLS.
    ///
    /// # Errors
    /// When the hub does not know the device or it is not connected.
    pub fn cut(&self, device: &str) -> anyhow::Result<()> {
        self.end(device, End::Cut)
    }

    /// Ends the device's connection as a second connection of the same device would.
    ///
    /// # Errors
    /// When the hub does not know the device or it is not connected.
    pub fn kick(&self, device: &str) -> anyhow::Result<()> {
        self.end(device, End::Kicked)
    }

    /// Ends the device's connection as if its token had expired.
    ///
    /// # Errors
    /// When the hub does not know the device or it is not connected.
    pub fn expire_token(&self, device: &str) -> anyhow::Result<()> {
        self.end(device, End::TokenExpired)
    }

    /// Records the `count`-th message from now on, then cuts the connection before its PUBACK. PUBACKs not yet written at that
    /// moment are lost as well.
    ///
    /// # Errors
    /// When the hub does not know the device.
    pub fn cut_after(&self, device: &str, count: u32) -> anyhow::Result<()> {
        self.lock().find(device)?.1.cut_after = Some(count.max(1));
        Ok(())
    }

    /// Stops reading from and writing to the device's connection, which stays open: a black hole.
    ///
    /// # Errors
    /// When the hub does not know the device or it is not connected.
    pub fn freeze(&self, device: &str) -> anyhow::Result<()> {
        let mut state = self.lock();
        let (name, device) = state.find(device)?;
        anyhow::ensure!(device.order(Order::Freeze), "{name} is not connected");
        Ok(())
    }

    /// Sets how device-to-cloud messages are acknowledged, of all devices, from now on.
    pub fn pubacks(&self, mode: Pubacks) {
        self.inner.pubacks.send_replace(mode);
    }

    /// Every PUBACK comes this many milliseconds late; 0 is as usual.
    pub fn delay_pubacks(&self, milliseconds: u64) {
        self.pubacks(if milliseconds == 0 {
            Pubacks::AtOnce
        } else {
            Pubacks::Delayed(Duration::from_millis(milliseconds))
        });
    }

    /// No PUBACK goes out until [`Hub::release_pubacks`].
    pub fn hold_pubacks(&self) {
        self.pubacks(Pubacks::Held);
    }

    /// PUBACKs are as usual again; held ones go out in order.
    pub fn release_pubacks(&self) {
        self.pubacks(Pubacks::AtOnce);
    }

    /// The PUBACKs of the next `count` messages are never sent.
    pub fn drop_pubacks(&self, count: u32) {
        self.lock().drop_pubacks = count;
    }

    /// Each of the next `count` PUBACKs is sent twice, which no good broker does.
    pub fn duplicate_pubacks(&self, count: u32) {
        self.lock().duplicate_pubacks = count;
    }

    /// The next `count` PUBACKs of devices are ignored: their messages stay in the queue, and come again with
    /// [`Hub::redeliver`] or the next connection.
    pub fn ignore_c2d_pubacks(&self, count: u32) {
        self.lock().ignored_c2d_pubacks = count;
    }

    /// How many of them are still to come.
    #[must_use]
    pub fn ignored_c2d_pubacks_left(&self) -> u32 {
        self.lock().ignored_c2d_pubacks
    }

    /// The next `count` twin requests, of all devices, are answered with this status, such as 400 or 429, and do nothing.
    pub fn refuse_twin(&self, count: u32, status: u16) {
        self.lock().refuse_twin = Some((count, status)).filter(|(count, _)| *count > 0);
    }

    /// PUBACKs go out in groups of `group`, each in reverse order.
    pub fn reorder_pubacks(&self, group: usize) {
        self.pubacks(Pubacks::Reordered(group));
    }

    /// Refuses the next `count` CONNECTs with this CONNACK code (1 to 5; 3 is "unavailable", 5 "not authorised").
    pub fn refuse_connects(&self, count: u32, code: u8) {
        self.lock().refuse = Some((count, code));
    }

    /// Makes the hub forget a device's MQTT session at each connect: CONNACK says session_present 0, subscriptions are gone.
    /// Cloud-to-device messages stay, the queue is not part of the MQTT session.
    pub fn forget_sessions(&self, forget: bool) {
        self.lock().forget_sessions = forget;
    }

    fn end(&self, device: &str, end: End) -> anyhow::Result<()> {
        let mut state = self.lock();
        let (name, device) = state.find(device)?;
        anyhow::ensure!(device.end(end), "{name} is not connected");
        Ok(())
    }
}
