//! Files and TCP ports, by Landlock.

use super::{Part, Reach};
use crate::policy::Access;
use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    NetPort, PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreated, RulesetCreatedAttr,
    RulesetError, RulesetStatus, Scope, make_bitflags, path_beneath_rules,
};
use std::path::PathBuf;

/// What is refused unless a rule allows it; an older kernel refuses the part of it that it knows.
const VERSION: ABI = ABI::V6;

const READ: BitFlags<AccessFs> = make_bitflags!(AccessFs::{ReadFile | ReadDir});
const WRITE: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    ReadFile | ReadDir | WriteFile | Truncate | Refer | RemoveFile | RemoveDir | MakeReg | MakeDir | MakeSym
});

/// What the C library reads to look up a name.
const RESOLVER: [&str; 14] = [
    "/etc/resolv.conf",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/gai.conf",
    "/etc/services",
    "/etc/protocols",
    "/etc/ld.so.cache",
    "/run/systemd/resolve",
    "/run/resolvconf",
    "/run/nscd",
    "/lib",
    "/lib64",
    "/usr/lib",
];

pub(super) fn raise(reach: &Reach) -> Part {
    match restrict(reach) {
        Ok(status) => match (status.ruleset, status.landlock) {
            (RulesetStatus::FullyEnforced, _) => Part::Full,
            (RulesetStatus::PartiallyEnforced, _) => Part::Partial,
            (RulesetStatus::NotEnforced, LandlockStatus::NotEnabled) => {
                Part::Missing("Landlock is not enabled in this kernel's boot options".to_owned())
            }
            (RulesetStatus::NotEnforced, _) => Part::Missing("this kernel has none".to_owned()),
        },
        Err(RulesetError::HandleAccesses(_)) => Part::Missing(
            "this kernel has no Landlock that can be used (Linux 5.19 has)".to_owned(),
        ),
        Err(error) => Part::Missing(error.to_string()),
    }
}

fn restrict(reach: &Reach) -> Result<landlock::RestrictionStatus, RulesetError> {
    let ports = reach.outbound.ports();
    let mut handled: BitFlags<AccessNet> = AccessNet::BindTcp.into();
    if ports.is_some() {
        handled |= AccessNet::ConnectTcp;
    }
    let mut ruleset = Ruleset::default()
        // The first version refuses every rename from one folder to another, which apps do.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(VERSION))?
        .handle_access(handled)?
        .scope(Scope::from_all(VERSION))?
        .create()?;
    for (folder, access) in &reach.folders {
        let rights = match access {
            Access::ReadOnly => READ,
            Access::ReadWrite => WRITE,
        };
        ruleset = beneath(ruleset, folder, rights)?;
    }
    if let Some(parent) = &reach.parent {
        ruleset = beneath(ruleset, parent, AccessFs::RemoveDir.into())?;
    }
    if reach.outbound.has_names() {
        ruleset = ruleset.add_rules(path_beneath_rules(RESOLVER, READ))?;
    }
    for address in &reach.published {
        ruleset = ruleset.add_rule(NetPort::new(address.port(), AccessNet::BindTcp))?;
    }
    for port in ports.into_iter().flatten() {
        ruleset = ruleset.add_rule(NetPort::new(port, AccessNet::ConnectTcp))?;
    }
    ruleset.restrict_self()
}

fn beneath(
    ruleset: RulesetCreated,
    folder: &PathBuf,
    rights: BitFlags<AccessFs>,
) -> Result<RulesetCreated, RulesetError> {
    match PathFd::new(folder) {
        Ok(fd) => ruleset.add_rule(PathBeneath::new(fd, rights)),
        // It was opened a moment ago. If it is gone, nobody needs it.
        Err(_) => Ok(ruleset),
    }
}
