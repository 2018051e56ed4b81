"""
The tests of iris-twisted, for trial. They mirror the rooms of the package;
C{faults/} holds what needs a hostile network in between.
"""
