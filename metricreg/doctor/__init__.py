"""`metricreg doctor`: what is wrong with the installed plugins, and what mends it.

Ask it to examine a registry: each plugin's report, what loading it takes where nothing else is loaded, and each
component imported and built of its example. It must not know a component, and changes nothing.
"""
