//! Answers of 2.1 discovery and identity, and what a device hears to its questions: one line each.

#![no_main]

use edgeplug_protocol::c2d::CloudMessage;
use edgeplug_protocol::v21::discovery::AgentUrl;
use edgeplug_protocol::v21::identity::IdentityReply;
use edgeplug_protocol::version::Version;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|lines: &[u8]| {
    let mut lines = lines.split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    if let Ok(agent) = AgentUrl::parse_reply(200, first) {
        let _ = agent.identity_url("GW");
    }
    match IdentityReply::parse(200, first, "GW") {
        Ok(IdentityReply::Ready { mut definition, has }) => {
            edgeplug_fuzz::try_out(&definition);
            for question in has.questions() {
                let _ = question.body();
            }
            for reply in lines {
                if let CloudMessage::Reply(reply) = CloudMessage::parse(Version::V21, reply) {
                    for update in reply.updates {
                        definition.apply(update);
                    }
                }
            }
            edgeplug_fuzz::try_out(&definition);
        }
        Ok(IdentityReply::OnAws(definition)) => edgeplug_fuzz::try_out(&definition),
        Err(error) => drop(error.to_string()),
    }
});
