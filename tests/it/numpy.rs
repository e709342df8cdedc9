//! numpy from the package index on the interpreter that has it built in: `registry_` tests.

use crate::support::{packed_on, project, pywasm, run, run_package};
use pywasm_guest::Base;

const APP: &str = r#"
import sys
early = 'numpy' in sys.modules
import numpy as np

a = np.array([[4.0, 1.0], [2.0, 3.0]])
assert np.allclose(np.linalg.solve(a, [9.0, 13.0]), [1.4, 3.4])
assert np.allclose(sorted(np.linalg.eigvals(a)), [2, 5])
u, s, v = np.linalg.svd(a)
assert np.allclose(u * s @ v, a)
assert np.allclose(np.fft.irfft(np.fft.rfft(np.arange(8.0))), np.arange(8.0))
# PCG64's first numbers are the same on every machine.
assert np.random.default_rng(1).integers(0, 100, 5).tolist() == [47, 51, 75, 95, 3]
assert np.sort(np.random.default_rng(2).permutation(1000)).tolist() == list(range(1000))
assert str(np.longdouble('0.1')) == '0.1'
print('imported' if early else 'to import')
"#;

#[test]
fn registry_numpy_is_built_in_and_starts_from_a_snapshot() {
    let files = [("app.py", APP), ("requirements.txt", "numpy\n")];
    let (_folder, path) = packed_on(Base::Scientific, &files);
    let ended = run_package(&path, &[], &[]);
    assert_eq!(ended.stdout, "imported\n", "{}", ended.stderr);
}

#[test]
fn registry_numpy_of_another_release_is_an_error_that_names_the_built_one() {
    let folder = project(&[("app.py", APP), ("requirements.txt", "numpy<2\n")]);
    let mut command = pywasm(["pack", "-o"]);
    command
        .arg(folder.path().join("app.pkg"))
        .arg(folder.path());
    let ended = run(command);
    let natives = &pywasm_guest::manifest().natives;
    let built = natives.iter().find(|native| native.name == "numpy");
    let built = &built.expect("numpy is built in").version;
    assert_ne!(ended.code, Some(0));
    assert!(
        ended.stderr.contains(&format!(
            "release {built} of it is built into the scientific base"
        )),
        "{}",
        ended.stderr
    );
}

/// What C++ throws is the error in Python that it is natively, and the app goes on.
#[test]
fn registry_a_throw_of_native_code_is_an_error_in_python() {
    let program = "\
import numpy as np
from numpy.fft import _pocketfft_umath as fft
assert np.fft.fft([1, 0]).tolist() == [1, 1]
# numpy's Python would not let this through.
try:
    fft.fft(np.ones(4, complex), 1.0, out=np.zeros(0, complex))
except RuntimeError as error:
    print(error)
print('after')
";
    let mut command = pywasm(["python", "--with", "numpy", "-c"]);
    command.arg(program);
    let ended = run(command);
    assert_eq!(
        ended.stdout, "zero-length FFT requested\nafter\n",
        "{}",
        ended.stderr
    );
    assert_eq!(ended.code, Some(0));
}
