//! Runs the steps of the transcript on one guest and compares.

use std::path::Path;

use anyhow::{Context as _, bail, ensure};
use edgeplug_plugins::{CallFailure, Command, Connection, DesiredChange, Exports, Reply, Update};
use edgeplug_protocol::model::{Attribute, Child, DeviceModel, Kind, Member, Setting};
use sha2::{Digest as _, Sha256};

use crate::stage::{Ended, PLUGIN, Stage};
use crate::transcript::{Integers, Step, Transcript, Words};
use crate::words::{json, parse_samples, samples};

/// Plays everything; says how many steps went as written, or which did not.
pub(crate) async fn play(
    transcript: &Transcript,
    integers: Integers,
    component: &Path,
    compiler: &Path,
) -> anyhow::Result<usize> {
    let mut stage = Stage::new(component, compiler)?;
    stage.plugins.connection_changed(Connection::Disconnected("not yet connected".to_owned()));
    let mut sha256 = String::new();
    let files = stage.files().display().to_string();
    for step in &transcript.steps {
        let at = || format!("line {} ({}): > {}", step.line, step.section, shortened(&step.action.0));
        let filled = |text: &str, sha256: &str| text.replace("{directory}", &files).replace("{sha256}", sha256);
        stage.answers.extend(step.answers.iter().cloned());
        let action = Words(filled(&step.action.0, ""));
        let mut seen = act(&mut stage, action, step, &mut sha256).await.with_context(at)?;
        let expected: Vec<_> = step
            .expected
            .iter()
            .filter(|expected| expected.holds_for(integers))
            .map(|expected| (filled(&expected.text, &sha256), expected.anywhere))
            .collect();
        for (line, _) in expected.iter().filter(|(_, anywhere)| *anywhere) {
            stage.logged(line).await?;
        }
        seen.extend(stage.take_seen());
        compare(&expected, seen).with_context(at)?;
        ensure!(stage.answers.is_empty(), "{}: the guest did not ask for {:?}", at(), stage.answers);
    }
    Ok(transcript.steps.len())
}

/// What the guest did, line by line.
async fn act(stage: &mut Stage, mut words: Words, step: &Step, sha256: &mut String) -> anyhow::Result<Vec<String>> {
    let ended = match words.expect("step")?.as_str() {
        "config" => {
            let (key, value) = (words.expect("key")?, words.expect("value")?);
            stage.config.insert(key, value);
            return Ok(Vec::new());
        }
        "file" => {
            let (name, content) = (words.expect("name")?, words.expect("content")?);
            std::fs::write(stage.files().join(name), content)?;
            return Ok(Vec::new());
        }
        "template" => {
            stage.tell_template(template(&words.rest())?);
            return Ok(Vec::new());
        }
        "connection" => {
            stage.plugins.connection_changed(match words.expect("connection")?.as_str() {
                "connected" => Connection::Connected,
                _ => Connection::Disconnected(words.expect("reason")?),
            });
            let line = step.expected.first().context("the guest says nothing")?.text.clone();
            stage.logged(&line).await?;
            return Ok(Vec::new());
        }
        "start" => {
            stage.lay_down()?;
            stage.until(|ended| matches!(ended, Ended::Up(_))).await?
        }
        "replace" => {
            if let Some(key) = words.next().and_then(|_| words.next()).and_then(|_| words.next()) {
                stage.config.insert(key, words.expect("value")?);
            }
            stage.lay_down()?;
            let ended = stage.until(|ended| matches!(ended, Ended::Up(_) | Ended::Refused(_))).await?;
            match ended {
                Ended::Up(_) => return Ok(Vec::new()),
                ended => ended,
            }
        }
        "restarted" => {
            stage.until(|ended| matches!(ended, Ended::Up(_))).await?;
            return Ok(Vec::new());
        }
        "stop" => {
            stage.plugins.stop(std::time::Duration::from_secs(60)).await;
            return Ok(Vec::new());
        }
        "sample" => {
            let call = stage.call();
            stage.plugins.sample(PLUGIN, call)?;
            stage.until(|ended| matches!(ended, Ended::Sampled(_))).await?
        }
        "transform" => {
            let call = stage.call();
            stage.plugins.transform(PLUGIN, call, parse_samples(&words.rest())?)?;
            stage.until(|ended| matches!(ended, Ended::Sampled(_))).await?
        }
        "command" => {
            let (id, device, text) = (words.expect("id")?, words.expect("device")?, words.expect("text")?);
            let call = stage.call();
            let device = (device != "self").then_some(device);
            stage.plugins.command(PLUGIN, call, Command { id, text, device })?;
            stage.until(|ended| matches!(ended, Ended::Replied(_))).await?
        }
        "desired" => {
            let change = DesiredChange {
                version: words.number("version")?,
                complete: words.expect("extent")? == "complete",
                desired: words.rest(),
            };
            let call = stage.call();
            stage.plugins.desired_changed(PLUGIN, call, change)?;
            stage.until(|ended| matches!(ended, Ended::Handled(_))).await?
        }
        "update" => {
            let (id, device) = (words.expect("id")?, words.expect("device")?);
            let (name, version) = (words.expect("name")?, words.expect("version")?);
            ensure!(words.expect("content")? == "pattern", "a file's content is a pattern");
            let content: Vec<u8> = (0..words.number::<usize>("length")?).map(|at| (at % 251) as u8).collect();
            let file = stage.firmware(&name);
            std::fs::write(&file, &content)?;
            *sha256 = crate::words::hexadecimal(&Sha256::digest(&content));
            let update = Update {
                id,
                device: (device != "self").then_some(device),
                name,
                version,
                size: content.len() as u64,
                sha256: sha256.clone(),
                file,
            };
            let call = stage.call();
            stage.plugins.update(PLUGIN, call, update)?;
            stage.until(|ended| matches!(ended, Ended::Replied(_))).await?
        }
        other => bail!("there is no step {other:?}"),
    };
    let mut seen = stage.take_seen();
    match ended {
        Ended::Up(exports) => seen.push(up(exports)),
        Ended::Refused(reason) => seen.push(format!("refused {}", json(&reason))),
        Ended::Sampled(Ok(list)) => seen.extend(samples("samples", &list)),
        Ended::Replied(Ok(Reply::Done(message))) => seen.push(format!("done {}", json(&message))),
        Ended::Replied(Ok(Reply::Failed(message))) => seen.push(format!("failed {}", json(&message))),
        Ended::Replied(Ok(Reply::Deferred)) => seen.push("deferred".to_owned()),
        Ended::Handled(Ok(())) => seen.push("ok".to_owned()),
        Ended::Replied(Err(CallFailure::Trapped(words))) => {
            // What a crash prints before it is the language's own; only the reason must arrive.
            seen.clear();
            seen.push(if words.contains("deliberate") {
                "trapped, saying deliberate".to_owned()
            } else {
                format!("trapped, saying {words}")
            });
        }
        Ended::Sampled(Err(failure)) | Ended::Replied(Err(failure)) | Ended::Handled(Err(failure)) => {
            seen.push(match failure {
                CallFailure::Error(text) => format!("error {}", json(&text)),
                other => format!("{other}"),
            });
        }
    }
    Ok(seen)
}

fn up(exports: Exports) -> String {
    let exported = [
        ("sensor", exports.sensor),
        ("commands", exports.commands),
        ("twin-events", exports.twin_events),
        ("connection-events", exports.connection_events),
        ("firmware", exports.firmware),
        ("lifecycle", exports.lifecycle),
        ("transform", exports.transform),
    ];
    let names = exported.iter().filter(|(_, there)| *there).map(|(name, _)| *name);
    std::iter::once("up").chain(names).collect::<Vec<_>>().join(" ")
}

/// Line by line; those that may come anywhere are taken out first.
fn compare(expected: &[(String, bool)], mut seen: Vec<String>) -> anyhow::Result<()> {
    for (line, _) in expected.iter().filter(|(_, anywhere)| *anywhere) {
        let place = seen.iter().position(|seen| fits(line, seen));
        let place = place.with_context(|| format!("expected somewhere {line:?}, saw {seen:#?}"))?;
        seen.remove(place);
    }
    let in_order: Vec<_> = expected.iter().filter(|(_, anywhere)| !anywhere).map(|(line, _)| line).collect();
    let as_written = in_order.len() == seen.len() && in_order.iter().zip(&seen).all(|(line, seen)| fits(line, seen));
    let list =
        |lines: Vec<&String>| lines.into_iter().map(|line| format!("\n    {}", shortened(line))).collect::<String>();
    ensure!(as_written, "\n  expected:{}\n  saw:{}", list(in_order), list(seen.iter().collect()));
    Ok(())
}

/// `{any}` stands for anything.
pub(crate) fn fits(expected: &str, seen: &str) -> bool {
    match expected.split_once("{any}") {
        None => expected == seen,
        Some((before, behind)) => seen.strip_prefix(before).is_some_and(|seen| {
            seen.char_indices().map(|(at, _)| at).chain([seen.len()]).any(|at| fits(behind, &seen[at..]))
        }),
    }
}

fn shortened(text: &str) -> String {
    let short: String = text.chars().take(200).collect();
    if short.len() < text.len() { short + "…" } else { short }
}

/// `60 edge [temp:number:gw:1 to 15 | gyro:object:c:{x:long:-3 to 3,…}] [fan:integer:0 to 5] [C1:c | C2:c]`
fn template(text: &str) -> anyhow::Result<DeviceModel> {
    let mut parts = text.splitn(3, ' ');
    let frequency_s = parts.next().and_then(|word| word.parse().ok()).context("no frequency")?;
    let edge = parts.next() == Some("edge");
    let lists = parts.next().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let mut lists = lists.split("] [").map(|list| list.split(" | ").collect::<Vec<_>>());
    let mut list = || lists.next().context("a list is missing");
    Ok(DeviceModel {
        attributes: list()?.into_iter().map(attribute).collect::<anyhow::Result<_>>()?,
        settings: list()?
            .into_iter()
            .map(|text| {
                let [name, kind, validity] = fields(text)?;
                Ok(Setting { name: name.to_owned(), kind: parse_kind(kind)?, validity: validity.to_owned() })
            })
            .collect::<anyhow::Result<_>>()?,
        children: list()?
            .into_iter()
            .map(|text| {
                let [unique_id, tag] = fields(text)?;
                Ok(Child { unique_id: unique_id.to_owned(), tag: tag.to_owned() })
            })
            .collect::<anyhow::Result<_>>()?,
        frequency_s,
        edge,
    })
}

fn attribute(text: &str) -> anyhow::Result<Attribute> {
    let (text, members) = text.split_once('{').unwrap_or((text, ""));
    let [name, kind, tag, validity] = fields(text)?;
    let members = members.trim_end_matches('}').split(',').filter(|member| !member.is_empty());
    Ok(Attribute {
        name: name.to_owned(),
        kind: parse_kind(kind)?,
        validity: validity.to_owned(),
        tag: tag.to_owned(),
        members: members
            .map(|text| {
                let [name, kind, validity] = fields(text)?;
                Ok(Member { name: name.to_owned(), kind: parse_kind(kind)?, validity: validity.to_owned() })
            })
            .collect::<anyhow::Result<_>>()?,
    })
}

fn fields<const N: usize>(text: &str) -> anyhow::Result<[&str; N]> {
    let fields: Vec<_> = text.splitn(N, ':').collect();
    fields.try_into().ok().with_context(|| format!("{text:?} has not {N} fields"))
}

fn parse_kind(word: &str) -> anyhow::Result<Kind> {
    Ok(match word {
        "boolean" => Kind::Boolean,
        "bit" => Kind::Bit,
        "integer" => Kind::Integer,
        "long" => Kind::Long,
        "number" => Kind::Number,
        "text" => Kind::Text,
        "date" => Kind::Date,
        "time" => Kind::Time,
        "date-time" => Kind::DateTime,
        "lat-long" => Kind::LatLong,
        "object" => Kind::Object,
        _ => bail!("there is no kind {word:?}"),
    })
}
