//! `pywasm login` and `logout`: who you are to registries.

use crate::environment::Environment;
use crate::printer;
use crate::registry_args::{LoginArgs, LogoutArgs};
use anyhow::{Context, bail, ensure};
use pywasm_registry::{Client, Kept, Login, Purpose, Secret};
use std::io::{IsTerminal, Read, stdin};
use std::process::ExitCode;

/// A password longer than this is a file given by mistake.
const LONGEST_PASSWORD: u64 = 64 << 10;
const RETRIES: u32 = 3;

pub fn login(args: LoginArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let LoginArgs {
        host,
        username,
        password_stdin,
        password,
        server,
    } = args;
    ensure!(
        password.is_none(),
        "what stands on a command line can be read by everybody on the machine; use `--password-stdin < FILE`, or leave -p out to be asked"
    );
    let user = match username {
        Some(user) => user,
        None if !password_stdin && stdin().is_terminal() => printer::ask("Username: ")?,
        None => bail!("say who you are with -u NAME"),
    };
    ensure!(
        !user.is_empty() && !user.contains(':'),
        "`{user}` is no user name"
    );
    let password = match password_stdin {
        true => password_of_stdin()?,
        false => {
            ensure!(
                stdin().is_terminal(),
                "there is no terminal to ask for the password; use --password-stdin"
            );
            printer::ask_secretly("Password: ")?
        }
    };
    ensure!(!password.is_empty(), "the password is empty");
    let password = Secret::new(password);
    let login = Login::Password {
        user: user.clone(),
        password: password.clone(),
    };
    let connection = environment.connection();
    Client::new(
        host.clone(),
        Some(login),
        Purpose::Login,
        &connection,
        server.transport(),
        RETRIES,
    )?
    .check_login()?;
    match environment
        .registry_credentials()?
        .put(&host, &user, &password)?
    {
        Kept::InFile(path) => printer::note(&format!(
            "the password is kept unencrypted in {}, which only you can read; a credential helper (`credsStore` in that file) keeps it better",
            path.display()
        )),
        Kept::WithHelper(program) => printer::note(&format!("the password is kept by {program}")),
    }
    printer::result(&format!("logged in to {host} as {user}"));
    Ok(ExitCode::SUCCESS)
}

fn password_of_stdin() -> anyhow::Result<String> {
    let mut password = String::new();
    stdin()
        .take(LONGEST_PASSWORD)
        .read_to_string(&mut password)
        .context("cannot read the password from standard input")?;
    // What `echo` and editors add to it is not part of it.
    let end = password.trim_end_matches(['\r', '\n']).len();
    password.truncate(end);
    Ok(password)
}

pub fn logout(args: LogoutArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let host = args.host;
    let known = environment.registry_credentials()?.remove(&host)?;
    printer::result(&match known {
        true => format!("logged out of {host}"),
        false => format!("was not logged in to {host}"),
    });
    Ok(ExitCode::SUCCESS)
}
