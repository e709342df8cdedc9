//! The time zone that clocks show: UTC, or what TZ says, from the start or from when the program says so.

use crate::support::{project, pywasm, run};

/// What a program prints that is run with `flags`.
fn prints(flags: &[&str], code: &str) -> String {
    let folder = project(&[("main.py", code)]);
    let mut command = pywasm(["run"]);
    command.args(flags).arg(folder.path());
    let ended = run(command);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn a_program_changes_its_zone() {
    let code = r#"
import os, time
from datetime import datetime

def show(zone):
    os.environ["TZ"] = zone
    time.tzset()
    noon = time.localtime(1719835200)  # 2024-07-01, in UTC
    assert time.mktime(noon) == 1719835200 == datetime(*noon[:6]).timestamp()
    print(time.tzname, time.timezone, time.altzone, time.daylight, time.strftime("%H:%M %Z %z", noon))

print(time.tzname, time.strftime("%H:%M", time.localtime(0)), datetime.now().astimezone().tzinfo)
show("Europe/Berlin")
show(":America/New_York")
show("AEST-10AEDT-11,M10.5.0,M3.5.0")
show("Nowhere/Nothing")
show("Asia/Kolkata")
print(datetime.fromtimestamp(0), datetime(1944, 7, 1).astimezone(), time.ctime(0))
del os.environ["TZ"]
time.tzset()
print(datetime.fromtimestamp(0).astimezone())
"#;
    assert_eq!(
        prints(&[], code),
        "('UTC', 'UTC') 00:00 UTC
('CET', 'CEST') -3600 -7200 1 14:00 CEST +0200
('EST', 'EDT') 18000 14400 1 08:00 EDT -0400
('AEST', 'AEDT') -36000 -39600 1 22:00 AEST +1000
('UTC', 'UTC') 0 0 0 12:00 UTC +0000
('IST', 'IST') -19800 -19800 0 17:30 IST +0530
1970-01-01 05:30:00 1944-07-01 00:00:00+06:30 Thu Jan  1 05:30:00 1970
1970-01-01 00:00:00+00:00
"
    );
}

#[test]
fn a_zone_is_given_from_outside_and_passed_on() {
    let code = r#"
import subprocess, sys, time

print(time.tzname, time.localtime(0).tm_hour)
subprocess.run([sys.executable, "-c", "import time; print(time.tzname)"])
subprocess.run([sys.executable, "-c", "import time; print(time.tzname)"], env={"TZ": "PST8"})
"#;
    let zone = ["-e", "TZ=Asia/Tokyo"];
    assert_eq!(
        prints(&zone, code),
        "('JST', 'JST') 9\n('JST', 'JST')\n('PST', 'PST')\n"
    );
}

/// Some programs read it themselves: Django asks whether a zone is there.
#[test]
fn the_database_is_where_a_linux_has_it() {
    let code = r#"
import os, pathlib, zoneinfo

zones = pathlib.Path("/usr/share/zoneinfo")
print("zoneinfo" in os.listdir("/usr/share"), (zones / "Europe/Berlin").read_bytes()[:4], (zones / "Nowhere").exists())
print(zoneinfo.TZPATH[0], "Asia/Shanghai" in zoneinfo.available_timezones())
try:
    (zones / "new").touch()
except OSError as error:
    print(error.strerror)
"#;
    assert_eq!(
        prints(&[], code),
        "True b'TZif' False\n/usr/share/zoneinfo True\nRead-only file system\n"
    );
}

/// A database that the person mounts comes before that of the standard library.
#[test]
fn zones_of_the_host_come_first() {
    let part = [
        b"TZif2".as_slice(),
        &[0; 15],
        &[0, 0, 0, 0, 1, 4].map(u32::to_be_bytes).concat(),
        &(7 * 3600_i32).to_be_bytes(),
        b"\0\0ABC\0",
    ]
    .concat();
    let database = tempfile::tempdir().expect("a folder");
    let file = [part.as_slice(), &part, b"\nABC-7\n"].concat();
    std::fs::write(database.path().join("UTC"), file).expect("written");
    let mount = format!("{}:/usr/share/zoneinfo:ro", database.path().display());
    let code = "import time; print(time.strftime('%H %Z', time.localtime(0)))";
    let zone = ["-e", "TZ=UTC"];
    assert_eq!(prints(&zone, code), "00 UTC\n");
    assert_eq!(prints(&["-v", &mount, zone[0], zone[1]], code), "07 ABC\n");
}
