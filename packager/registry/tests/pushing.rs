//! Packages to a registry. Whatever happens on the way, a name there stands for a whole package.

mod support;

use pywasm_format::{Digest, ImageName};
use pywasm_registry::{Purpose, pull, push};
use pywasm_signature::Signatures;
use support::{Fault, Machine, Quiet, Registry, client, password, pieces};

fn name(registry: &Registry) -> ImageName {
    format!("{}/me/app:1", registry.host())
        .parse()
        .expect("a name")
}

fn outcome(registry: &Registry) -> Result<(), String> {
    let machine = Machine::new();
    let name = name(registry);
    let package = machine.keep(&name, "new");
    let client = client(registry, password(), Purpose::Push);
    let outcome = push(&client, &package, &Signatures::default(), &name, &Quiet);
    assert!(registry.is_sound());
    if outcome.is_ok() {
        let manifest = registry.manifest("me/app", "1").expect("it is there");
        assert_eq!(Digest::of(&manifest), package.digest());
    }
    outcome.map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_package_goes_and_comes_back() {
    let registry = Registry::start();
    registry.demand_token();
    assert_eq!(outcome(&registry), Ok(()));
    let sent = registry
        .seen()
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .count();
    assert_eq!(outcome(&registry), Ok(()));
    let again = registry
        .seen()
        .iter()
        .filter(|seen| seen.method == "PATCH")
        .count();
    assert_eq!(sent, again, "what is there is not sent again");
    let machine = Machine::new();
    let remote = name(&registry).try_into().expect("a remote name");
    let client = client(&registry, password(), Purpose::Pull);
    let image = pull(&client, &remote, &machine.store, &Quiet).expect("pulled");
    assert_eq!(image.digest, Digest::of(&pieces("new").0));
    machine.is_sound();
}

#[test]
fn passing_faults_are_got_over() {
    for (method, part, fault) in [
        ("HEAD", "/blobs/", Fault::Status(503, "")),
        ("POST", "/uploads/", Fault::Status(500, "")),
        ("POST", "/uploads/", Fault::Close),
        ("PATCH", "/uploads/", Fault::Status(503, "")),
        ("PATCH", "/uploads/", Fault::Status(416, "")),
        ("PATCH", "/uploads/", Fault::Close),
        ("PATCH", "/uploads/", Fault::TakeHalf),
        ("PATCH", "/uploads/", Fault::Forget),
        ("PATCH", "/uploads/", Fault::Lose),
        ("PUT", "/uploads/", Fault::Status(502, "")),
        ("PUT", "/uploads/", Fault::Forget),
        ("PUT", "/uploads/", Fault::Lose),
        ("PUT", "/manifests/", Fault::Status(503, "")),
        ("PUT", "/manifests/", Fault::Forget),
    ] {
        let registry = Registry::start();
        registry.rule(method, part, 2, fault.clone());
        assert_eq!(outcome(&registry), Ok(()), "{method} {fault:?}");
    }
}

#[test]
fn lasting_faults_end_with_what_is_wrong_and_without_a_name() {
    for (method, part, fault, said) in [
        (
            "POST",
            "/uploads/",
            Fault::Status(403, r#"{"errors": [{"message": "read only"}]}"#),
            "\"read only\"",
        ),
        ("POST", "/uploads/", Fault::Status(413, ""), "status 413"),
        ("POST", "/uploads/", Fault::Status(202, ""), "it names none"),
        (
            "PATCH",
            "/uploads/",
            Fault::Close,
            "does not come to its end",
        ),
        (
            "PATCH",
            "/uploads/",
            Fault::Lose,
            "does not come to its end",
        ),
        (
            "PUT",
            "/uploads/",
            Fault::Status(400, r#"{"errors": [{"code": "DIGEST_INVALID"}]}"#),
            "DIGEST_INVALID",
        ),
        ("PUT", "/manifests/", Fault::Status(400, ""), "status 400"),
    ] {
        let registry = Registry::start();
        registry.rule(method, part, usize::MAX, fault.clone());
        let error = outcome(&registry).expect_err(&format!("{fault:?}"));
        assert!(error.contains(said), "{fault:?}: {error}");
        assert_eq!(registry.manifest("me/app", "1"), None);
    }
    let registry = Registry::start();
    registry.rule("PUT", "/manifests/", 1, Fault::OtherDigest);
    let error = outcome(&registry).expect_err("another digest");
    assert!(error.contains("has the digest"), "{error}");
}

#[test]
fn what_is_sent_stays_with_the_registry_or_goes_without_credentials() {
    let registry = Registry::start();
    registry.demand_token();
    let elsewhere = Registry::start();
    registry.rule(
        "PATCH",
        "/uploads/",
        9,
        Fault::Redirect(format!("http://{}/x", elsewhere.host())),
    );
    let error = outcome(&registry).expect_err("led elsewhere");
    assert!(
        error.contains("another server than the package was for"),
        "{error}"
    );
    assert_eq!(elsewhere.seen().len(), 0);
    // Storage of its own, named when the upload begins, is how some registries work: no credentials go there.
    let registry = Registry::start();
    registry.demand_token();
    let storage = format!("http://{}/v2/x/blobs/uploads/0", elsewhere.host());
    registry.rule(
        "POST",
        "/uploads/",
        99,
        Fault::Challenge("Basic".to_owned()),
    );
    let _ = outcome(&registry);
    registry.rule("POST", "/uploads/", 99, Fault::LocationElsewhere(storage));
    let _ = outcome(&registry);
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|seen| seen.authorization.is_none())
    );
}
