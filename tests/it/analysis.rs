//! Plots, scientific computing and machine learning, with the packages from the index on the interpreters that have them built in:
//! `registry_` tests.

use crate::support::{packed_on, run_package};
use pywasm_guest::Base;

/// What goes wrong in C++ and in C that leaves by jumps is an error in Python.
const SCIENCE: &str = r#"
import warnings
import numpy as np
from scipy import fft, integrate, interpolate, linalg, optimize, signal, sparse, spatial, special, stats

a = np.array([[4., 1., 2.], [1., 3., 0.], [2., 0., 5.]])
values, vectors = linalg.eigh(a)
assert np.allclose(vectors @ np.diag(values) @ vectors.T, a)
t, z = linalg.schur(a)
assert np.allclose(z @ t @ z.T, a)
assert np.allclose(fft.ifft(fft.fft(np.arange(7.))).real, np.arange(7.))
assert abs(integrate.quad(np.sin, 0, np.pi)[0] - 2) < 1e-12
assert abs(optimize.brentq(lambda x: x * x - 2, 0, 2) - 2 ** .5) < 1e-9
assert optimize.linprog([-1, -2], [[1, 1]], [4]).fun == -8
assert optimize.milp([-1, -2], integrality=[1, 1], bounds=optimize.Bounds(0, 3.5)).fun == -9
assert optimize.minimize(optimize.rosen, [1.3, .7], method='trust-krylov', jac=optimize.rosen_der, hess=optimize.rosen_hess).success
assert len(signal.butter(4, .2)[0]) == 5
assert abs(stats.norm.cdf(1.96) - .975) < 1e-4
assert len(spatial.ConvexHull([[0, 0], [1, 0], [0, 1], [.1, .1]]).vertices) == 3


def raised(kind, call):
    try:
        call()
    except kind as error:
        return str(error)
    raise AssertionError(f'no {kind.__name__}')


def fails(x):
    raise KeyError('mine')


with warnings.catch_warnings():
    warnings.simplefilter('ignore')
    singular = sparse.linalg.splu
    assert 'singular' in raised(RuntimeError, lambda: singular(sparse.csc_array(np.zeros((3, 3)))))
assert 'mine' in raised(KeyError, lambda: integrate.quad(fails, 0, 1))
assert 'mine' in raised(KeyError, lambda: optimize.brentq(fails, 0, 1))
assert 'Initial simplex is flat' in raised(spatial.QhullError, lambda: spatial.ConvexHull([[0, 0], [1, 1], [2, 2]]))
raised(ValueError, lambda: spatial.distance.cdist(a, a, out=np.zeros((2, 2))))
raised(ValueError, lambda: fft.fft('text'))
print('computed')
"#;

const LEARNING: &str = r#"
from sklearn.datasets import load_digits
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.manifold import TSNE
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

X, y = load_digits(return_X_y=True)
train, test, of_train, of_test = train_test_split(X[:600], y[:600], random_state=0)
for model in (make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), SVC(), RandomForestClassifier(30, random_state=0),
              HistGradientBoostingClassifier(max_iter=8, random_state=0)):
    score = accuracy_score(of_test, model.fit(train, of_train).predict(test))
    assert score > .8, (model, score)
assert GridSearchCV(SVC(), {'C': [1, 10]}, cv=2, n_jobs=2).fit(train, of_train).best_params_['C'] in (1, 10)
assert PCA(2).fit_transform(train).shape == (450, 2) and TSNE(2, max_iter=250).fit_transform(train[:60]).shape == (60, 2)
assert set(KMeans(10, random_state=0).fit_predict(train)) == set(range(10)) and DBSCAN(20).fit(train).labels_.max() > 0
assert TfidfVectorizer().fit_transform(['a word', 'another word']).shape == (2, 2)
print('learnt')
"#;

const PLOT: &str = r#"
import io
import matplotlib.pyplot as plt
import numpy as np

figure, (left, right) = plt.subplots(1, 2, layout='constrained')
x = np.linspace(0, 7, 50)
left.plot(x, np.sin(x), label=r'$\sin(x)$')
left.set_title('Grüße, Ελλάδα, مرحبا')
left.legend()
right.contourf(np.outer(x, x))
right.tricontour([0, 1, 0, 1], [0, 0, 1, 1], [0, 1, 2, 3])
sizes = {}
for kind in ('png', 'svg', 'pdf'):
    out = io.BytesIO()
    figure.savefig(out, format=kind)
    sizes[kind] = len(out.getvalue())
    start = out.getvalue()[:5]
    assert start.startswith({'png': b'\x89PNG', 'svg': b'<?xml', 'pdf': b'%PDF-'}[kind]), start
assert min(sizes.values()) > 5000, sizes
try:
    from matplotlib import ft2font
    ft2font.FT2Font(__file__)
    raise AssertionError
except RuntimeError as error:
    assert 'FT_Open_Face' in str(error), error
print('drawn with', plt.get_backend())
"#;

fn printed(app: &str, requirements: &str, base: Base) -> String {
    let files = [("app.py", app), ("requirements.txt", requirements)];
    let (_folder, path) = packed_on(base, &files);
    let ended = run_package(&path, &["--memory", "2g"], &[]);
    assert_eq!(ended.code, Some(0), "{}", ended.stderr);
    ended.stdout
}

#[test]
fn registry_scipy_computes_and_its_errors_are_pythons() {
    assert_eq!(printed(SCIENCE, "scipy\n", Base::Analysis), "computed\n");
}

#[test]
fn registry_scikit_learn_fits_and_predicts() {
    assert_eq!(
        printed(LEARNING, "scikit-learn\n", Base::Analysis),
        "learnt\n"
    );
}

#[test]
fn registry_matplotlib_draws_into_files() {
    assert_eq!(
        printed(PLOT, "matplotlib\n", Base::Data),
        "drawn with agg\n"
    );
}
