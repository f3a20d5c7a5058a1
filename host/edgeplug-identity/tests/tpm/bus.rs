//! What a listener on the bus to the TPM gets to see: a relay between identity and swtpm that writes everything down.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::sync::{Arc, Mutex};

use edgeplug_identity::{KeySlot, Tcti};
use edgeplug_test_support::swtpm::SilentTpm;

use crate::blob::Parts;
use crate::rig::Rig;

type Tape = Arc<Mutex<Vec<u8>>>;

#[tokio::test]
async fn neither_the_inner_key_nor_a_password_crosses_the_bus_in_clear() {
    const OWNER: &str = "owner-password-on-the-bus";
    const ENDORSEMENT: &str = "endorsement-password-on-the-bus";
    let mut rig = Rig::new();
    rig.swtpm.tool("tpm2_changeauth", ["-c", "o", OWNER]).unwrap();
    rig.swtpm.tool("tpm2_changeauth", ["-c", "e", ENDORSEMENT]).unwrap();
    let Tcti::Swtpm { port, .. } = rig.config.tcti else { unreachable!() };
    let (relay, tape) = relay(port);
    rig.config.tcti = relay.tcti().parse().unwrap();
    rig.config.owner_auth = Some(OWNER.to_owned().into());
    rig.config.endorsement_auth = Some(ENDORSEMENT.to_owned().into());
    rig.reopen().await;

    let registration = rig.identity.registration().await.unwrap();
    let parts = Parts::of(&registration, &[0x77; 32]);
    rig.identity.activate(KeySlot::Hub, &parts.blob()).await.unwrap();
    rig.assert_signs(KeySlot::Hub, &[0x77; 32]).await;

    let seen = tape.lock().unwrap().clone();
    let crosses = |secret: &[u8]| seen.windows(secret.len()).any(|window| window == secret);
    // The relay does see what is not hidden: the duplicate goes in as it came from the service.
    assert!(crosses(&parts.duplicate[40..72]), "the relay saw nothing");
    assert!(!crosses(&parts.inner_key));
    assert!(!crosses(&[0x77; 32]));
    assert!(!crosses(OWNER.as_bytes()));
    assert!(!crosses(ENDORSEMENT.as_bytes()));
}

/// Listens where an swtpm would, and passes both connections on.
fn relay(swtpm: u16) -> (SilentTpm, Tape) {
    let tape = Tape::default();
    let relay = SilentTpm::start().unwrap();
    for (listener, target) in relay.listening().iter().zip([swtpm, swtpm + 1]) {
        let (listener, tape) = (listener.try_clone().unwrap(), Arc::clone(&tape));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, target)) else { return };
                copy(client.try_clone().unwrap(), server.try_clone().unwrap(), Arc::clone(&tape));
                copy(server, client, Arc::clone(&tape));
            }
        });
    }
    (relay, tape)
}

fn copy(mut from: TcpStream, mut to: TcpStream, tape: Tape) {
    std::thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            tape.lock().unwrap().extend_from_slice(&buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        let _ = to.shutdown(std::net::Shutdown::Write);
    });
}
