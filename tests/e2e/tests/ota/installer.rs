//! Images for the device itself: an installer, and a restart of the device until which nobody knows how it ended.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use edgeplug_cloud::{Ack, Protocol, Update};
use edgeplug_e2e::{Edgeplug, World};

use crate::another_boot::AnotherBoot;
use crate::rig::{LARGE, Rig, content, signed, wait_phase};

/// An installer that writes down what it was given, and a program that says what runs.
struct Installer {
    directory: PathBuf,
}

impl Installer {
    fn new(world: &World) -> Self {
        let installer = Self { directory: world.directory().to_owned() };
        installer.write("install", "for file; do sha256sum \"$file\" >>../installed; done\ncat \"$1\" >../image\necho \"wrote $EDGEPLUG_VERSION\"");
        installer.runs(true);
        installer
    }

    /// Whether the new firmware runs after a restart.
    fn runs(&self, new: bool) {
        let body =
            if new { "echo \"$EDGEPLUG_VERSION runs\"" } else { "echo \"1.4 runs, not $EDGEPLUG_VERSION\"; exit 1" };
        self.write("confirm", body);
    }

    fn write(&self, name: &str, body: &str) {
        let path = self.directory.join(name);
        let here = self.directory.display();
        let body = body.replace("../", &format!("{here}/"));
        std::fs::write(&path, format!("#!/bin/sh\nset -e\n{body}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn lines(&self) -> String {
        let program = |name: &str| self.directory.join(name).display().to_string();
        format!("installer = [{:?}]\nrestart = true\nconfirm = [{:?}]\n", program("install"), program("confirm"))
    }

    fn installed(&self) -> String {
        std::fs::read_to_string(self.directory.join("installed")).unwrap_or_default()
    }
}

/// A device whose own firmware is installed and waits for its restart.
async fn installed() -> (Rig, Installer, AnotherBoot, Edgeplug) {
    let mut rig = Rig::new(Protocol::V21).await;
    let boot = AnotherBoot::new(rig.world.directory());
    let installer = Installer::new(&rig.world);
    let tables = format!("{}{}\n[link]\nretry_max_s = 1\n", rig.signer.table(), installer.lines());
    rig.world.set_tables(&tables).unwrap();
    rig.world.set_environment(boot.environment());
    rig.put("image.bin", &content(0, LARGE));
    let edgeplug = rig.start().await;
    rig.push(&signed(Update::new("fw-1", "1.5"), "image.bin"));
    wait_phase(&edgeplug, "awaiting-restart").await;
    (rig, installer, boot, edgeplug)
}

#[tokio::test(flavor = "multi_thread")]
async fn an_installed_image_is_done_once_it_runs_after_the_restart() {
    let (rig, installer, boot, edgeplug) = installed().await;
    let sha256 = rig.world.cloud.firmware().sha256("image.bin").unwrap();
    assert!(installer.installed().starts_with(&sha256) && installer.installed().lines().count() == 1);
    assert_eq!(std::fs::read(rig.world.directory().join("image")).unwrap(), content(0, LARGE));

    // The daemon's own restart is not the device's.
    edgeplug.kill().await.unwrap();
    let edgeplug = rig.start().await;
    wait_phase(&edgeplug, "awaiting-restart").await;
    assert!(rig.world.cloud.recorder().acks("fw-1").iter().all(|ack| !Ack::is_terminal(ack)));
    assert!(edgeplug.terminate().await.unwrap().success());

    boot.restart();
    let edgeplug = rig.start().await;
    let ack = rig.end_of("fw-1", None).await;
    assert_eq!((ack.status, ack.message.contains("1.5 runs")), (3, true), "{ack:?}");
    assert_eq!(installer.installed().lines().count(), 1, "installed twice");
    rig.end(edgeplug).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_does_not_run_after_the_restart_has_failed() {
    let (rig, installer, boot, edgeplug) = installed().await;
    edgeplug.kill().await.unwrap();
    installer.runs(false);
    boot.restart();
    let edgeplug = rig.start().await;
    let ack = rig.end_of("fw-1", None).await;
    assert_eq!((ack.status, ack.message.contains("1.4 runs, not 1.5")), (4, true), "{ack:?}");
    rig.end(edgeplug).await;
}
