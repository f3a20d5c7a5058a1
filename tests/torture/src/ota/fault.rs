//! Everything that goes wrong with an update, and how it has to end.

use edgeplug_cloud::{FirmwareFault, Redirect, Sha256Metadata};

use super::device::{Device, Settings};
use super::judge::{Content, End};

/// Smallest and largest file.
const SIZE: (u64, u64) = (64 << 10, 256 << 10);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// More is announced than comes.
    LongLength,
    /// Less is announced, and comes.
    ShortLength,
    FlippedByte,
    /// What is told of the hash is true of another file.
    WrongHash,
    /// A file beside it says another hash.
    WrongSidecar,
    WrongSignature,
    NoSignature,
    RedirectLoop,
    /// To a server without TLS.
    PlainRedirect,
    TwoRedirects,
    /// A portal gives new URLs when asked.
    ExpiredUrl,
    /// Each URL is good for one request.
    ExpiredMidway,
    /// 200 where 206 was asked for.
    WholeForRange,
    /// The file changes between two parts, and the server serves the second as if it had not.
    ChangedMidway,
    /// 206 with other bytes than asked for.
    ShiftedRange,
    NoValidators,
    Encoded,
    NotFound,
    Busy,
    DiskFull,
    TooLarge,
    /// A component that traps in its third call.
    BadComponent,
    NoComponent,
    RefusedByInstaller,
    RefusedByPlugin,
}

impl Fault {
    pub(super) const ALL: [Self; 25] = [
        Self::LongLength,
        Self::ShortLength,
        Self::FlippedByte,
        Self::WrongHash,
        Self::WrongSidecar,
        Self::WrongSignature,
        Self::NoSignature,
        Self::RedirectLoop,
        Self::PlainRedirect,
        Self::TwoRedirects,
        Self::ExpiredUrl,
        Self::ExpiredMidway,
        Self::WholeForRange,
        Self::ChangedMidway,
        Self::ShiftedRange,
        Self::NoValidators,
        Self::Encoded,
        Self::NotFound,
        Self::Busy,
        Self::DiskFull,
        Self::TooLarge,
        Self::BadComponent,
        Self::NoComponent,
        Self::RefusedByInstaller,
        Self::RefusedByPlugin,
    ];

    fn end(self) -> End {
        match self {
            Self::LongLength
            | Self::TwoRedirects
            | Self::ExpiredUrl
            | Self::ExpiredMidway
            | Self::WholeForRange
            | Self::ChangedMidway
            | Self::ShiftedRange
            | Self::NoValidators
            | Self::Busy
            | Self::DiskFull => End::Done,
            _ => End::Failed,
        }
    }

    /// What a failure's message must hold.
    fn says(self) -> &'static str {
        match self {
            Self::ShortLength | Self::FlippedByte | Self::WrongHash | Self::WrongSidecar => "SHA-256",
            Self::WrongSignature | Self::NoSignature => "signed",
            Self::RedirectLoop | Self::PlainRedirect => "redirects",
            Self::Encoded => "encoded",
            Self::NotFound => "404",
            Self::TooLarge => "exceeds",
            Self::BadComponent => "trapped",
            Self::NoComponent => "not WebAssembly",
            Self::RefusedByInstaller | Self::RefusedByPlugin => "not wanted",
            _ => "",
        }
    }

    /// It comes to light before anybody may have the file.
    fn keeps_file_back(self) -> bool {
        self.end() == End::Failed && !matches!(self, Self::RefusedByInstaller | Self::RefusedByPlugin)
    }

    fn settings(self) -> Settings {
        Settings {
            signed: matches!(self, Self::WrongSignature | Self::NoSignature),
            restart: false,
            disk_full: self == Self::DiskFull,
            small_files: self == Self::TooLarge,
        }
    }

    /// What happens to the one request, or to each.
    fn of_server(self) -> Option<FirmwareFault> {
        Some(match self {
            Self::LongLength => FirmwareFault::LengthOff(100),
            Self::ShortLength => FirmwareFault::LengthOff(-100),
            Self::FlippedByte => FirmwareFault::FlippedByte(1000),
            Self::RedirectLoop => FirmwareFault::Redirect(Redirect::Loop),
            Self::PlainRedirect => FirmwareFault::Redirect(Redirect::PlainHttp),
            Self::TwoRedirects => FirmwareFault::Redirect(Redirect::Hops(2)),
            Self::ExpiredMidway => FirmwareFault::ForbiddenAfter(1),
            Self::Encoded => FirmwareFault::Encoded,
            Self::NotFound => FirmwareFault::Status { status: 404, retry_after_s: None },
            Self::Busy => FirmwareFault::Status { status: 503, retry_after_s: Some(1) },
            _ => return None,
        })
    }

    /// What goes wrong with the second request, after a kill in the middle of the first.
    fn of_resume(self) -> Option<Option<FirmwareFault>> {
        match self {
            Self::ExpiredMidway => Some(None),
            Self::WholeForRange => Some(Some(FirmwareFault::WholeForRange)),
            Self::ChangedMidway => Some(Some(FirmwareFault::IgnoresIfRange)),
            Self::ShiftedRange => Some(Some(FirmwareFault::ShiftedRange(7))),
            _ => None,
        }
    }
}

/// One update that meets this fault, until it has its end.
pub(super) async fn meet(device: &mut Device, fault: Fault) -> anyhow::Result<()> {
    device.set(&fault.settings()).await?;
    let mut parcel = device.parcel(&format!("{fault:?}"), fault.end(), fault.says());
    let to_child = fault == Fault::RefusedByPlugin;
    let name = match fault {
        Fault::BadComponent | Fault::NoComponent => "reload.wasm",
        Fault::RefusedByInstaller | Fault::RefusedByPlugin => "refuse-it.bin",
        _ => "image.bin",
    };
    let bytes = match fault {
        Fault::BadComponent => device.next_component('T').1,
        Fault::TooLarge => device.bytes((1 << 20) + 8, (1 << 20) + 4096),
        _ => device.bytes(SIZE.0, SIZE.1),
    };
    let stored = match fault {
        Fault::NoSignature | Fault::WrongSignature => {
            let stored = device.add_file(&mut parcel, name, false, &bytes)?;
            if fault == Fault::WrongSignature {
                let signature = device.sign(name, b"another file")?;
                device.add_file(&mut parcel, &format!("{name}.minisig"), false, signature.as_bytes())?;
            }
            stored
        }
        _ => device.add(&mut parcel, name, to_child, &bytes)?,
    };
    if fault == Fault::WrongSidecar {
        let line = format!("{}  {name}\n", Content::of(b"another file").sha256);
        device.add_file(&mut parcel, &format!("{name}.sha256"), false, line.as_bytes())?;
        parcel.update.sha256_in_urls = false;
    }
    if fault.keeps_file_back() {
        parcel.promise.payload.iter_mut().for_each(|payload| payload.contents.clear());
    }
    arrange(device, fault, &mut parcel.update, &stored)?;
    let mut other = bytes.clone();
    other.reverse();
    if fault == Fault::ChangedMidway {
        parcel.promise.payload.iter_mut().for_each(|payload| payload.contents.push(Content::of(&other)));
    }

    let mark = device.log.mark()?;
    if matches!(fault, Fault::ExpiredUrl | Fault::ExpiredMidway) {
        device.set_pending(Some(parcel.update.clone()))?;
    }
    if fault == Fault::ExpiredUrl {
        device.promise(&parcel);
        let update = parcel.update.clone().expired_urls();
        device.push_again(&update)?;
    } else {
        device.push(&parcel)?;
    }
    if fault.of_resume().is_some() {
        let half = bytes.len() as u64 / 2;
        if fault == Fault::ChangedMidway {
            device.kill_while_it_changes(&stored, half, &other).await?;
        } else {
            device.kill_while_fetching(&stored, half).await?;
        }
    }
    if fault == Fault::DiskFull {
        device.not_fetched_since(mark).await?;
        device.set(&Settings::default()).await?;
    }
    device.acknowledged_soon().await?;
    device.set_pending(None)?;
    if matches!(fault, Fault::BadComponent | Fault::NoComponent) {
        device.component_is(&parcel.promise.ack_id, None).await?;
    }
    device.clear_away(&parcel)
}

/// Sets the store's switches.
fn arrange(device: &Device, fault: Fault, update: &mut edgeplug_cloud::Update, stored: &str) -> anyhow::Result<()> {
    let store = device.store();
    let half = store.files().iter().find(|file| file.name == stored).map_or(0, |file| file.bytes as u64 / 2);
    match fault {
        Fault::WrongHash => {
            update.sha256_in_urls = false;
            let other = Content::of(b"another file").sha256;
            store.tell_sha256(stored, Sha256Metadata::Other(other))?;
        }
        Fault::ChangedMidway => {
            update.sha256_in_urls = false;
            store.tell_sha256(stored, Sha256Metadata::Right)?;
        }
        Fault::NoValidators => {
            store.fault_always(stored, FirmwareFault::WithoutValidators)?;
            return Ok(());
        }
        _ => {}
    }
    if let Some(of_resume) = fault.of_resume() {
        store.fault(stored, FirmwareFault::StallAfter(half))?;
        if let Some(of_resume) = of_resume {
            store.fault(stored, of_resume)?;
        }
    }
    match fault.of_server() {
        // Once is enough for what is made good by asking again.
        Some(of_server) if fault.end() == End::Done => store.fault(stored, of_server),
        Some(of_server) => store.fault_always(stored, of_server),
        None => Ok(()),
    }
}
