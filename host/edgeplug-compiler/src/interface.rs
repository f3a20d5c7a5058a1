//! The plugin interface, as this program was built with it.

use anyhow::{Context as _, bail};
use wit_parser::{PackageId, Resolve, SourceMap, WorldId, WorldItem, WorldKey};

/// The package by file, in the order of the alphabet.
const SOURCES: [(&str, &str); 5] = [
    ("exports.wit", include_str!("../../../wit/exports.wit")),
    ("hardware.wit", include_str!("../../../wit/hardware.wit")),
    ("imports.wit", include_str!("../../../wit/imports.wit")),
    ("types.wit", include_str!("../../../wit/types.wit")),
    ("worlds.wit", include_str!("../../../wit/worlds.wit")),
];

/// World with every export, the one that others are cut from.
pub(crate) const WHOLE_WORLD: &str = "plugin";
/// Name of a world made of a list of exports.
const LISTED_WORLD: &str = "guest";

/// Package of worlds that [`export_alone`] makes.
const GUEST_PACKAGE: &str = "edgeplug:guest";

/// Parses the interface and finds a world by name, or makes one of a list of exported interfaces (`sensor,commands`).
/// The made one is named `guest`, and imports what [`WHOLE_WORLD`] imports.
pub(crate) fn world(name: &str) -> anyhow::Result<(Resolve, WorldId)> {
    let (mut resolve, package) = parse()?;
    let whole = resolve.select_world(&[package], Some(WHOLE_WORLD))?;
    if let Ok(world) = resolve.select_world(&[package], Some(name)) {
        return Ok((resolve, world));
    }
    let listed: Vec<&str> = name.split(',').map(str::trim).collect();
    let known = exports(&resolve, whole);
    if let Some(unknown) = listed.iter().find(|export| !known.iter().any(|known| known == *export)) {
        let worlds: Vec<&str> = worlds(&resolve, package);
        bail!(
            "{unknown:?} is neither a world nor an export; there are the worlds {} and the exports {}",
            worlds.join(", "),
            known.join(", ")
        );
    }
    keep_exports(&mut resolve, whole, |export| listed.contains(&export));
    rename(&mut resolve, package, whole);
    Ok((resolve, whole))
}

/// A world with one export and nothing else, for SDKs whose plugins choose what they export when they are linked. It is
/// named like the export.
pub(crate) fn export_alone(export: &str) -> anyhow::Result<(Resolve, WorldId)> {
    let (mut resolve, package) = parse()?;
    let name = resolve.packages.get(package).map(|package| package.name.clone()).context("no package")?;
    let interface = name.interface_id(export);
    let mut sources = SourceMap::default();
    sources.push_str("guest.wit", format!("package {GUEST_PACKAGE}; world {export} {{ export {interface}; }}"));
    let group = sources.parse().map_err(|(_, error)| error).context("no such export")?;
    let package = resolve.push_group(group).context("no such export")?;
    let world = resolve.select_world(&[package], Some(export))?;
    Ok((resolve, world))
}

/// Names of everything that [`WHOLE_WORLD`] exports, in its order.
pub(crate) fn all_exports() -> anyhow::Result<Vec<String>> {
    let (resolve, package) = parse()?;
    let whole = resolve.select_world(&[package], Some(WHOLE_WORLD))?;
    Ok(exports(&resolve, whole))
}

/// The full name (`edgeplug:plugin/types@0.2.0`) of an interface that a world imports, by its short one.
pub(crate) fn imported(resolve: &Resolve, world: WorldId, interface: &str) -> Option<String> {
    resolve.worlds.get(world)?.imports.values().find_map(|item| match item {
        WorldItem::Interface { id, .. } if short_name(resolve, item) == Some(interface) => resolve.id_of(*id),
        _ => None,
    })
}

fn parse() -> anyhow::Result<(Resolve, PackageId)> {
    let mut sources = SourceMap::default();
    for (file, text) in SOURCES {
        sources.push_str(file, text);
    }
    let mut resolve = Resolve::default();
    let group = sources.parse().map_err(|(_, error)| error).context("the interface in this program is broken")?;
    let package = resolve.push_group(group).context("the interface in this program is broken")?;
    Ok((resolve, package))
}

/// Takes the exports out of a world whose short names (`sensor`) are not wanted; how many are left.
pub(crate) fn keep_exports(resolve: &mut Resolve, world: WorldId, wanted: impl Fn(&str) -> bool) -> usize {
    let unwanted: Vec<WorldKey> = resolve
        .worlds
        .get(world)
        .map(|world| world.exports.iter())
        .into_iter()
        .flatten()
        .filter(|(_, item)| short_name(resolve, item).is_some_and(|name| !wanted(name)))
        .map(|(key, _)| key.clone())
        .collect();
    let Some(world) = resolve.worlds.get_mut(world) else { return 0 };
    for key in unwanted {
        world.exports.shift_remove(&key);
    }
    world.exports.len()
}

/// Names of the exported interfaces, in the order of the world.
fn exports(resolve: &Resolve, world: WorldId) -> Vec<String> {
    let exports = resolve.worlds.get(world).map(|world| world.exports.values()).into_iter().flatten();
    exports.filter_map(|item| short_name(resolve, item)).map(str::to_owned).collect()
}

fn short_name<'a>(resolve: &'a Resolve, item: &WorldItem) -> Option<&'a str> {
    match item {
        WorldItem::Interface { id, .. } => resolve.interfaces.get(*id)?.name.as_deref(),
        WorldItem::Function(_) | WorldItem::Type { .. } => None,
    }
}

fn worlds(resolve: &Resolve, package: PackageId) -> Vec<&str> {
    let package = resolve.packages.get(package);
    package.map(|package| package.worlds.keys().map(String::as_str).collect()).unwrap_or_default()
}

fn rename(resolve: &mut Resolve, package: PackageId, world: WorldId) {
    if let Some(world) = resolve.worlds.get_mut(world) {
        LISTED_WORLD.clone_into(&mut world.name);
    }
    if let Some(package) = resolve.packages.get_mut(package) {
        package.worlds.shift_remove(WHOLE_WORLD);
        package.worlds.insert(LISTED_WORLD.to_owned(), world);
    }
}

#[cfg(test)]
mod tests;
