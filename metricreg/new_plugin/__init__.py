"""`metricreg new-plugin`: the project of a plugin, typed and tested, with a component of each kind that is wanted.

Ask it for the files of a project of a name, and to write them. Those are templates, which lie beside this file. It must
not know a component that ships.
"""
