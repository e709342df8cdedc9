//! pandas from the package index on the interpreter that has it built in: `registry_` tests.

use crate::support::{packed_on, run_package};
use pywasm_guest::Base;

const APP: &str = r#"
import io, sys
early = 'pandas' in sys.modules
import pandas as pd

sales = pd.read_csv('sales.csv', parse_dates=['day'])
assert str(sales.day.dtype).startswith('datetime64') and len(sales) == 5
totals = sales.groupby('shop', as_index=False).amount.agg(['sum', 'mean'])
totals.to_csv('/tmp/totals.csv', index=False)
assert open('/tmp/totals.csv').read() == 'shop,sum,mean\nA,9.5,3.1666666666666665\nB,6.0,3.0\n'

towns = pd.DataFrame({'shop': ['A', 'B', 'C'], 'town': ['Köln', 'Łódź', '東京']})
joined = sales.merge(towns, on='shop', how='right')
assert joined.town.tolist().count('東京') == 1 and joined.amount.isna().sum() == 1

text = joined.to_json(orient='records', date_format='iso')
again = pd.read_json(io.StringIO(text))
assert again.town.tolist() == joined.town.tolist() and again.amount.sum() == 15.5

weekly = sales.set_index('day').amount.resample('W').sum()
assert weekly.tolist() == [3.5, 12.0], weekly
assert sales.set_index('day').loc['2026-01-05':'2026-01-06', 'amount'].sum() == 8.0
assert sales.day.dt.tz_localize('UTC').dt.tz_convert('Europe/Berlin').dt.hour.unique().tolist() == [1]

wide = sales.pivot_table(index='day', columns='shop', values='amount', aggfunc='sum')
assert wide.rolling(2, min_periods=1).mean().notna().any().all()
assert pd.cut(sales.amount, [0, 2, 6]).value_counts().tolist() == [3, 2]
assert sales.sort_values(['shop', 'amount'], ascending=[True, False]).amount.iloc[0] == 4.5

try:
    pd.read_csv(io.StringIO('a,b\n1,2,3\n4,5,6,7\n'), index_col=False, on_bad_lines='error')
except pd.errors.ParserError as error:
    assert 'line 3' in str(error)
print('imported' if early else 'to import')
"#;

const SALES: &str = "day,shop,amount\n2026-01-01,A,1.5\n2026-01-02,B,2\n2026-01-05,A,3.5\n2026-01-06,A,4.5\n2026-01-07,B,4\n";

#[test]
fn registry_pandas_reads_groups_joins_and_writes() {
    let files = [
        ("app.py", APP),
        ("sales.csv", SALES),
        ("requirements.txt", "pandas\n"),
    ];
    let (_folder, path) = packed_on(Base::Data, &files);
    let ended = run_package(&path, &[], &[]);
    assert_eq!(ended.stdout, "imported\n", "{}", ended.stderr);
}
