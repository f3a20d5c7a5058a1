use super::*;

#[test]
fn a_tpm_answers_as_soon_as_it_is_started() {
    let swtpm = Swtpm::start().unwrap();
    let said = swtpm.tool("tpm2_getcap", ["properties-fixed"]).unwrap();
    assert!(said.contains("TPM2_PT_MANUFACTURER"), "{said}");
}

#[test]
fn persistent_objects_survive_a_power_cycle() {
    let mut swtpm = Swtpm::start().unwrap();
    swtpm.tool("tpm2_createprimary", ["-C", "o", "-G", "ecc", "-c", "primary.ctx"]).unwrap();
    swtpm.tool("tpm2_evictcontrol", ["-C", "o", "-c", "primary.ctx", "0x81000042"]).unwrap();
    swtpm.restart().unwrap();
    assert!(swtpm.tool("tpm2_getcap", ["handles-persistent"]).unwrap().contains("0x81000042"));
    assert_eq!(swtpm.tool("tpm2_getcap", ["handles-transient"]).unwrap().trim(), "");
}

#[test]
fn a_dropped_rig_leaves_no_process() {
    let swtpm = Swtpm::start().unwrap();
    let command = swtpm.ports.command;
    drop(swtpm);
    assert!(TcpStream::connect((Ipv4Addr::LOCALHOST, command)).is_err());
}

#[test]
fn many_rigs_run_side_by_side() {
    let rigs: Vec<_> = (0..8).map(|_| Swtpm::start().unwrap()).collect();
    let mut ports: Vec<_> = rigs.iter().map(|rig| rig.ports.command).collect();
    ports.sort_unstable();
    ports.dedup();
    assert_eq!(ports.len(), rigs.len());
}

#[test]
fn a_tool_that_is_not_installed_is_named_with_its_package() {
    let swtpm = Swtpm::start().unwrap();
    let error = format!("{:#}", swtpm.tool("tpm2_no_such_tool", ["x"]).unwrap_err());
    assert!(error.contains("apt-get install tpm2-tools"), "{error}");
}

#[test]
fn a_silent_tpm_takes_connections_on_both_ports() {
    let silent = SilentTpm::start().unwrap();
    for port in [silent.ports.command, silent.ports.control] {
        TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    assert_eq!(silent.tcti(), format!("swtpm:host=127.0.0.1,port={}", silent.ports.command));
}
