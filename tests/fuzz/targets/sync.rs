//! Answers of legacy discovery and sync.

#![no_main]

use edgeplug_protocol::legacy::discovery::BaseUrl;
use edgeplug_protocol::legacy::sync::{SyncOption, SyncReply, parse_part};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    let _ = BaseUrl::parse_reply(200, body).map_err(|error| error.to_string());
    let parts: Vec<_> = SyncOption::ALL.iter().map(|option| parse_part(200, body, *option)).collect();
    match SyncReply::parse(200, body) {
        Ok(SyncReply::Ready(mut definition)) => {
            edgeplug_fuzz::try_out(&definition);
            for update in parts.into_iter().flatten().flatten() {
                definition.apply(update);
            }
            edgeplug_fuzz::try_out(&definition);
        }
        Ok(SyncReply::NotRegistered) => {}
        Err(error) => drop(error.to_string()),
    }
});
