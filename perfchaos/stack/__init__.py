"""
Brings the reference system up as real processes of this machine, and takes it down again.

`perfchaos.stack.embedded` has `up`, `down` and `look`; the modules below it know one server each.
"""
