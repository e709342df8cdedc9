"""The program of an instance. It defines nothing, for some cases look at what __main__ holds."""

import driver

driver.main()
