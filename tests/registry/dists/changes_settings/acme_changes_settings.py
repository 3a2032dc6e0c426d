"""Changes what belongs to the process."""

import locale
import os
import signal
import sys
import warnings

import metricreg

os.chdir("/")
locale.setlocale(locale.LC_ALL, "C.UTF-8")
sys.setrecursionlimit(3000)
sys.excepthook = print
sys.stdout = sys.stderr
warnings.showwarning = print
warnings.simplefilter("ignore")
signal.signal(signal.SIGINT, signal.SIG_IGN)


@metricreg.hookimpl
def metricreg_reducers():
    return {"half": "metricreg.reducers.sum:SumReducer"}
