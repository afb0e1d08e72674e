"""`python -m perfchaos.safety` is the watchdog of the run that starts it."""

from perfchaos.safety.watchdog import main

main()
