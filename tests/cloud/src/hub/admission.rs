//! Who may connect: the checks of a CONNECT, and what taking a connection in means for the device's older one.

use bytes::Bytes;
use jiff::Timestamp;
use rumqttc::mqttbytes::v4::{Connect, ConnectAuth, ConnectReturnCode};
use tokio::sync::{mpsc, oneshot};

use super::{Connection, End, Hub, Live, Order, Refusal};
use crate::limits::ORDERS_MAX;
use crate::sas::{SasRefusal, Token, now_unix_s};
use crate::topic::Filter;

/// A CONNECT that is let in.
pub(super) struct Admission {
    pub(super) device: String,
    pub(super) connection: u64,
    pub(super) session_present: bool,
    pub(super) subscriptions: Vec<(Filter, u8)>,
    pub(super) token_expiry: u64,
    pub(super) orders: mpsc::Receiver<Order>,
    pub(super) end: oneshot::Receiver<End>,
}

/// A CONNECT that is not.
#[derive(Debug)]
pub(super) struct Denied {
    /// `None`: the connection is closed without a CONNACK.
    pub(super) code: Option<ConnectReturnCode>,
    reason: String,
}

impl Hub {
    pub(super) fn admit(&self, connect: &Connect) -> Result<Admission, Denied> {
        let admitted = self.check_and_take_in(connect);
        if let Err(denied) = &admitted {
            tracing::info!(client_id = connect.client_id, reason = denied.reason, "refused a connection");
            self.lock().log_refusal(Refusal {
                at: Timestamp::now(),
                client_id: connect.client_id.clone(),
                code: denied.code.map(|code| code as u8),
                reason: denied.reason.clone(),
            });
        }
        self.inner.changes.ring();
        admitted
    }

    fn check_and_take_in(&self, connect: &Connect) -> Result<Admission, Denied> {
        let mut state = self.lock();
        if let Some((count @ 1.., code)) = state.refuse {
            state.refuse = Some((count - 1, code));
            return Err(Denied { code: Some(return_code(code)), reason: "the fault switch refuses it".to_owned() });
        }
        let (username, password) = match &connect.auth {
            ConnectAuth::None => return Err(closed("it has no user name")),
            ConnectAuth::Username { username } => (username, &Bytes::new()),
            ConnectAuth::UsernamePassword { username, password } => (username, password),
        };
        let (host, device_id) = parse_username(username).map_err(closed)?;
        if connect.client_id != device_id {
            return Err(unauthorised("the client id is not the device id of the user name"));
        }
        let forget = state.forget_sessions;
        let Some(device) = state.devices.get(device_id) else {
            return Err(unauthorised("the hub does not know the device"));
        };
        let registration = &device.registration;
        if !registration.host.eq_ignore_ascii_case(host) {
            return Err(unauthorised(&format!("the device belongs to {}, not to {host}", registration.host)));
        }
        let password = std::str::from_utf8(password).map_err(|_| unauthorised("the password is not utf-8"))?;
        let token_expiry =
            check(password, host, device_id, &registration.keys).map_err(|why| unauthorised(&why.to_string()))?;

        state.last_connection += 1;
        let connection = state.last_connection;
        let (order_sender, orders) = mpsc::channel(ORDERS_MAX);
        let (end_sender, end) = oneshot::channel();
        let Some(device) = state.devices.get_mut(device_id) else {
            return Err(unauthorised("the hub does not know the device"));
        };
        device.end(End::Kicked);
        device.live = Some(Live { connection, orders: order_sender, end: Some(end_sender) });
        let keep = !connect.clean_session && !forget;
        let session_present = keep && device.session_known;
        if !session_present {
            device.subscriptions.clear();
        }
        device.session_known = !connect.clean_session;
        let subscriptions = device.subscriptions.iter().map(|(filter, qos)| (*filter, *qos)).collect();
        state.log(Connection {
            number: connection,
            device: device_id.to_owned(),
            at: Timestamp::now(),
            clean_session: connect.clean_session,
            session_present,
            keep_alive_s: connect.keep_alive,
            username: username.clone(),
            token_expiry,
            ended: None,
        });
        let device = device_id.to_owned();
        Ok(Admission { device, connection, session_present, subscriptions, token_expiry, orders, end })
    }
}

fn check<'a>(
    password: &str,
    host: &str,
    device_id: &str,
    keys: impl IntoIterator<Item = &'a crate::key::Key>,
) -> Result<u64, SasRefusal> {
    let token = Token::parse(password)?;
    // The host part is a name and its case does not matter; device ids are case-sensitive.
    let right = token.resource.split_once('/').is_some_and(|(token_host, path)| {
        token_host.eq_ignore_ascii_case(host) && path.strip_prefix("devices/") == Some(device_id)
    });
    if !right {
        return Err(SasRefusal::WrongResource { got: token.resource, wanted: format!("{host}/devices/{device_id}") });
    }
    if token.policy.as_ref().is_some_and(|policy| !policy.is_empty()) {
        return Err(SasRefusal::WrongPolicy(token.policy));
    }
    token.signed_by(keys)?;
    token.valid_at(now_unix_s())?;
    Ok(token.expiry)
}

/// `{host}/{device}/?api-version=…` or `{host}/{device}/api-version=…`, more parameters allowed.
fn parse_username(username: &str) -> Result<(&str, &str), &'static str> {
    let (host, rest) = username.split_once('/').ok_or("the user name has no device id")?;
    let (device, query) = rest.split_once('/').ok_or("the user name has no api-version")?;
    let query = query.strip_prefix('?').unwrap_or(query);
    if query.contains('/') {
        return Err("the user name names a module, which this hub does not serve");
    }
    let version = query.split('&').find_map(|parameter| parameter.strip_prefix("api-version="));
    match version {
        Some(version) if !version.is_empty() && !host.is_empty() && !device.is_empty() => Ok((host, device)),
        _ => Err("the user name has no api-version"),
    }
}

fn closed(reason: &str) -> Denied {
    Denied { code: None, reason: reason.to_owned() }
}

fn unauthorised(reason: &str) -> Denied {
    Denied { code: Some(ConnectReturnCode::NotAuthorized), reason: reason.to_owned() }
}

fn return_code(code: u8) -> ConnectReturnCode {
    match code {
        1 => ConnectReturnCode::RefusedProtocolVersion,
        2 => ConnectReturnCode::BadClientId,
        4 => ConnectReturnCode::BadUserNamePassword,
        5 => ConnectReturnCode::NotAuthorized,
        _ => ConnectReturnCode::ServiceUnavailable,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_the_user_name_are_read() {
        for username in [
            "localhost/CP-GW/?api-version=2021-04-12",
            "localhost/CP-GW/api-version=2018-06-30&DeviceClientType=x",
            "localhost/CP-GW/?DeviceClientType=x&api-version=1",
        ] {
            assert_eq!(parse_username(username), Ok(("localhost", "CP-GW")), "{username}");
        }
        for username in [
            "",
            "localhost",
            "localhost/CP-GW",
            "localhost/CP-GW/",
            "localhost/CP-GW/?api-version=",
            "h/d/m/?api-version=1",
            "//?api-version=1",
        ] {
            assert!(parse_username(username).is_err(), "{username}");
        }
    }
}
