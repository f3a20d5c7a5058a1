use super::*;

fn scope(devices: &[&str], names: &[&str]) -> CommandScope {
    let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    CommandScope { names: owned(names), devices: owned(devices) }
}

fn handlers(plugins: &[(&str, CommandScope)]) -> Handlers {
    let mut handlers = Handlers::default();
    for (plugin, scope) in plugins {
        handlers.up(plugin, Some(scope.clone()));
    }
    handlers
}

#[test]
fn the_plugin_that_names_a_command_most_closely_gets_it() {
    let handlers = handlers(&[
        ("all", scope(&[], &[])),
        ("both", scope(&["C1"], &["led"])),
        ("device", scope(&["C1", "C2"], &[])),
        ("name", scope(&[], &["led", "fan"])),
        ("name-too", scope(&[], &["led"])),
        ("own", scope(&["GW"], &[])),
    ]);
    for (device, text, plugin) in [
        ("C1", "led on", "both"),
        ("C1", "led", "both"),
        ("C1", "  led  on", "both"),
        ("C1", "ledger", "device"),
        ("C1", "LED on", "device"),
        ("C2", "led on", "device"),
        ("C3", "led on", "name"),
        ("C3", "fan", "name"),
        ("C3", "x led", "all"),
        ("C3", "", "all"),
        ("GW", "led on", "own"),
    ] {
        assert_eq!(handlers.route(device, text), Route::To(plugin), "{text:?} for {device}");
    }
}

#[test]
fn what_is_in_nobodys_scope_goes_to_nobody() {
    let handlers = handlers(&[("a", scope(&["C1"], &["led"])), ("b", scope(&["GW"], &[]))]);
    assert_eq!(handlers.route("C1", "fan on"), Route::Nobody);
    assert_eq!(handlers.route("C2", "led on"), Route::Nobody);
    assert_eq!(Handlers::default().route("GW", "led on"), Route::Nobody);
}

#[test]
fn the_one_that_is_meant_is_waited_for_but_not_for_ever() {
    let second = Duration::from_secs(1);
    let mut handlers = handlers(&[("all", scope(&[], &[])), ("led", scope(&[], &["led"]))]);
    handlers.down("led", second);
    handlers.down("led", 9 * second);
    handlers.down("nobody", second);
    assert_eq!(handlers.route("GW", "led on"), Route::Wait);
    assert_eq!(handlers.route("GW", "fan on"), Route::To("all"));
    assert_eq!(handlers.timeout(), Some(second), "the second time down gives no more time");
    assert!(!handlers.give_up(second / 2) && handlers.give_up(second) && !handlers.give_up(2 * second));
    assert_eq!((handlers.route("GW", "led on"), handlers.timeout()), (Route::Down("led"), None));
    handlers.up("led", Some(scope(&[], &["led"])));
    assert_eq!(handlers.route("GW", "led on"), Route::To("led"));
    handlers.gone("led");
    assert_eq!(handlers.route("GW", "led on"), Route::To("all"));
    handlers.up("all", None);
    assert_eq!(handlers.route("GW", "led on"), Route::Nobody);
}
