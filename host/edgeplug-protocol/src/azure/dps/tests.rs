use super::*;

fn enrolment() -> Enrolment {
    Enrolment {
        endpoint: "https://global.azure-devices-provisioning.net".into(),
        id_scope: "0ne00012345".into(),
        registration_id: RegistrationId::iotconnect("CP", "GW").unwrap(),
    }
}

fn blob_base64() -> String {
    let parts: [usize; 6] = [52, 256, 142, 256, 48, 108];
    let bytes: Vec<u8> = parts
        .iter()
        .flat_map(|len| [&u16::try_from(*len).unwrap().to_be_bytes()[..], &vec![7; *len]].concat())
        .collect();
    STANDARD.encode(bytes)
}

#[test]
fn urls_and_bodies_follow_the_rest_specification() {
    assert_eq!(
        enrolment().register_url(),
        "https://global.azure-devices-provisioning.net/0ne00012345/registrations/CP-GW/register?api-version=2021-06-01"
    );
    assert_eq!(
        enrolment().operation_url(&OperationId::new("5.316aac5bdc130deb.b1e02da8".into()).unwrap()),
        "https://global.azure-devices-provisioning.net/0ne00012345/registrations/CP-GW/operations/5.316aac5bdc130deb.b1e02da8?api-version=2021-06-01"
    );
    let body = enrolment().register_body(&Attestation::Tpm { endorsement_key: &[1, 2], storage_root_key: &[3] });
    assert_eq!(body, r#"{"registrationId":"CP-GW","tpm":{"endorsementKey":"AQI=","storageRootKey":"Aw=="}}"#);
    assert_eq!(enrolment().register_body(&Attestation::SymmetricKey), r#"{"registrationId":"CP-GW"}"#);
}

#[test]
fn a_401_is_a_challenge_only_if_it_carries_a_key() {
    let challenge = format!(
        r#"{{"message":"Authorization required","authenticationKey":"{}","unencryptedAuthenticationKey":null,"keyName":"registration"}}"#,
        blob_base64()
    );
    assert!(matches!(RegisterReply::parse(401, challenge.as_bytes()), Ok(RegisterReply::Challenge(_))));
    let refusal = br#"{"errorCode":401002,"trackingId":"t","message":"Unauthorized","timestampUtc":"x"}"#;
    assert_eq!(
        RegisterReply::parse(401, refusal),
        Err(DpsError::Refused { code: 401_002, message: "Unauthorized".into() })
    );
    assert!(matches!(
        RegisterReply::parse(401, br#"{"authenticationKey":"AAA="}"#),
        Err(DpsError::Blob(ChallengeBlobError::Empty("credential")))
    ));
}

#[test]
fn an_operation_is_polled_until_it_is_decided() {
    let accepted = br#"{"operationId":"5.3","status":"assigning"}"#;
    assert_eq!(RegisterReply::parse(202, accepted), Ok(RegisterReply::Assigning(OperationId("5.3".into()))));
    assert_eq!(PollReply::parse(202, accepted), Ok(PollReply::Assigning));
    let assigned = format!(
        r#"{{"operationId":"5.3","status":"assigned","registrationState":{{"assignedHub":"h.azure-devices.net","deviceId":"CP-GW","tpm":{{"authenticationKey":"{}"}},"payload":{{"x":1}}}}}}"#,
        blob_base64()
    );
    let Ok(PollReply::Final(assignment)) = PollReply::parse(200, assigned.as_bytes()) else { panic!("not assigned") };
    assert_eq!((assignment.hub.as_str(), assignment.device_id.as_str()), ("h.azure-devices.net", "CP-GW"));
    assert!(assignment.hub_key.is_some());
}

#[test]
fn each_failure_tells_what_can_be_done() {
    let failed =
        br#"{"operationId":"o","status":"failed","registrationState":{"errorCode":400208,"errorMessage":"no hub"}}"#;
    assert_eq!(PollReply::parse(200, failed), Err(DpsError::Refused { code: 400_208, message: "no hub".into() }));
    let mismatch =
        RegisterReply::parse(400, br#"{"errorCode":400004,"message":"Endorsement key is invalid"}"#).unwrap_err();
    assert!(mismatch.to_string().contains("edgeplug identity show"), "{mismatch}");
    assert_eq!(RegisterReply::parse(404, b""), Err(DpsError::NotFound));
    assert_eq!(RegisterReply::parse(429, b""), Err(DpsError::Throttled));
    assert_eq!(RegisterReply::parse(503, b""), Err(DpsError::Unavailable(503)));
    for garbage in [
        &b"not json"[..],
        b"{}",
        br#"{"status":"assigned"}"#,
        br#"{"status":"dancing"}"#,
        br#"{"status":"assigned","registrationState":{"assignedHub":"evil/../x","deviceId":"d"}}"#,
    ] {
        assert!(matches!(PollReply::parse(200, garbage), Err(DpsError::Malformed { .. })), "{garbage:?}");
    }
}
