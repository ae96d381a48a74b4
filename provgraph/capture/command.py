"""Runs a command of the user and tells which files it read and wrote: `provgraph exec`.

A Python command is traced from inside by an audit hook, with no change to its code
(`provgraph.capture.child`); of any other command only the declared inputs and outputs are known.
Standard input and output are the user's own. Standard error passes through a pipe, byte for byte as
it comes, so that its end can be kept when the command fails; a program that asks whether its
standard error is a terminal is told no. Signals are passed on, and the exit code is the one a shell
would give: 128 + n for a command that signal n ended.

What the hook cannot see is said in `missing`: libraries that open files in C, other programs,
interpreters that were told to ignore the environment. Declared inputs are digested before the
command starts, all else when it has ended. Units: seconds, bytes.
"""
