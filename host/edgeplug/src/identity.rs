//! `identity show` and `identity test`.

use std::time::{Duration, Instant};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use edgeplug_identity::{EkTemplate, Identity, IdentityKind, Origin};
use edgeplug_protocol::azure::registration;
use edgeplug_session::event::{Event, FailureKind, Restored};
use edgeplug_session::{LinkState, Session};
use serde_json::json;

use crate::api;
use crate::clocks::{Clocks, sleep_until};
use crate::cloud::Cloud;
use crate::config::Config;
use crate::exit::{Exit, Problem};
use crate::translate;

/// Prints what the portal asks for. Creates missing root keys, as the daemon would.
pub(crate) async fn show(config: Config, as_json: bool, with_template: bool) -> Result<(), Problem> {
    let identity = Identity::open(config.identity);
    let failed = |error| {
        let failure = translate::identity_failure(&error);
        Problem::new(failure.kind.into(), failure.text)
    };
    let found = identity.registration().await.map_err(failed)?;
    let template = if with_template && found.kind == IdentityKind::Tpm {
        identity.ek_template().await.map_err(failed)?
    } else {
        None
    };
    identity.close().await;
    let endorsement_key = found.endorsement_key.as_deref();
    let configured = config.session.registration.resolve(endorsement_key);
    let facts = json!({
        "kind": match found.kind { IdentityKind::Tpm => "tpm", IdentityKind::SymmetricKey => "symmetric-key" },
        "registration_id": configured.as_ref().map(|id| id.as_str()),
        "scope_id": config.session.scope_id,
        "endorsement_key": endorsement_key.map(|key| STANDARD.encode(key)),
        "registration_id_base32": endorsement_key.map(registration::base32_of),
        "registration_id_hex": endorsement_key.map(registration::hex_of),
        "hub_key": found.hub_key,
        "tpm": found.tpm.as_ref().map(|tpm| json!({
            "tcti": tpm.tcti,
            "product": tpm.product,
            "ek_handle": format!("{:#010x}", tpm.ek_handle),
            "ek": origin(tpm.ek_origin),
            "srk_handle": format!("{:#010x}", tpm.srk_handle),
            "srk": origin(tpm.srk_origin),
            "identity_handle": format!("{:#010x}", tpm.identity_handle),
            "ek_template": template.map(template_name),
        })),
    });
    if as_json {
        println!("{facts:#}");
    } else {
        print(&facts);
    }
    Ok(())
}

/// Goes the whole way once. A running daemon is asked instead: a second connection would push it off the hub.
pub(crate) async fn test(config: Config, timeout: Duration) -> Result<(), Problem> {
    if let Ok(status) = api::client::get(&config.socket, "/v1/status").await {
        println!("a daemon is running; this is what it says");
        return judge_running(&status);
    }
    let mut cloud = Cloud::new(&config)?;
    let mut session = Session::new(config.session, fastrand::u64(..));
    let mut clocks = Clocks::start();
    let (begun, mut said) = (Instant::now(), None);
    session.handle(Event::Restored(Restored::default()), clocks.now());
    loop {
        while let Some(action) = session.poll_action() {
            if let Some(event) = cloud.act(action) {
                session.handle(event, clocks.now());
            }
        }
        let status = session.status(clocks.now());
        if said != Some(status.link) {
            println!("{}", words(status.link));
            said = Some(status.link);
        }
        if let Some(trouble) = status.trouble {
            cloud.identity.close().await;
            return Err(Problem::new(trouble.kind.into(), trouble.text));
        }
        if status.link == LinkState::Online {
            session.handle(Event::Stop, clocks.now());
            while let Some(action) = session.poll_action() {
                cloud.act(action);
            }
            // Leave in order, so that the hub frees the connection at once.
            let _ = tokio::time::timeout(Duration::from_secs(3), cloud.link_events.recv()).await;
            cloud.identity.close().await;
            println!("this device can reach its hub ({})", status.hub.unwrap_or_default());
            return Ok(());
        }
        let Some(left) = timeout.checked_sub(begun.elapsed()) else {
            let text =
                format!("not connected within {} s; the last step was: {}", timeout.as_secs(), words(status.link));
            return Err(Problem::new(Exit::TimedOut, text));
        };
        let wake = session.poll_timeout().map(|at| clocks.at(at));
        let event = tokio::select! {
            Some(event) = cloud.completed.recv() => event,
            Some(event) = cloud.link_events.recv() => cloud.link_event(event).unwrap_or(Event::Woke),
            () = sleep_until(wake) => Event::Woke,
            () = tokio::time::sleep(left) => Event::Woke,
        };
        session.handle(event, clocks.now());
    }
}

fn judge_running(status: &serde_json::Value) -> Result<(), Problem> {
    let text = |pointer: &str| status.pointer(pointer).and_then(serde_json::Value::as_str).unwrap_or_default();
    let kind: Option<FailureKind> =
        status.pointer("/trouble/kind").and_then(|kind| serde_json::from_value(kind.clone()).ok());
    match (kind, text("/link")) {
        (Some(kind), _) => Err(Problem::new(kind.into(), text("/trouble/text"))),
        (None, "online") => {
            println!("this device is connected to its hub ({})", text("/hub"));
            Ok(())
        }
        (None, link) => Err(Problem::new(Exit::TimedOut, format!("not connected yet; it is {link}"))),
    }
}

/// A state in words.
pub(crate) fn words(link: LinkState) -> &'static str {
    match link {
        LinkState::Starting => "starting",
        LinkState::OpeningIdentity => "opening the identity",
        LinkState::Discovering => "asking discovery which agent to talk to",
        LinkState::Syncing => "asking the portal for the device's settings",
        LinkState::Provisioning => "registering with DPS",
        LinkState::Authorising => "signing a token",
        LinkState::Connecting => "connecting to the hub",
        LinkState::Online => "connected",
        LinkState::Renewing => "renewing the token",
        LinkState::Waiting => "waiting",
        LinkState::Disconnected => "disconnected on request of a plugin",
        LinkState::Stopping => "closing",
    }
}

fn origin(origin: Origin) -> &'static str {
    match origin {
        Origin::Found => "found",
        Origin::Created(_) => "created",
    }
}

fn template_name(template: EkTemplate) -> &'static str {
    match template {
        EkTemplate::Tcg => "tcg",
        EkTemplate::AzureC => "azure-c",
    }
}

fn print(facts: &serde_json::Value) {
    for (name, pointer) in [
        ("identity", "/kind"),
        ("registration id", "/registration_id"),
        ("scope id", "/scope_id"),
        ("hub key present", "/hub_key"),
        ("TPM", "/tpm/product"),
        ("reached by", "/tpm/tcti"),
        ("endorsement key handle", "/tpm/ek_handle"),
        ("endorsement key was", "/tpm/ek"),
        ("endorsement key template", "/tpm/ek_template"),
        ("id by Azure's C client", "/registration_id_base32"),
        ("id by IoT Edge", "/registration_id_hex"),
        ("endorsement key", "/endorsement_key"),
    ] {
        match facts.pointer(pointer) {
            None | Some(serde_json::Value::Null) => {}
            Some(serde_json::Value::String(text)) => println!("{name:24} {text}"),
            Some(other) => println!("{name:24} {other}"),
        }
    }
    if facts.get("endorsement_key").is_some_and(serde_json::Value::is_string) {
        println!("\nIn the portal, create the device with authentication type TPM and paste the endorsement key.");
    }
}
