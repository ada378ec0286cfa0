#!/usr/bin/python3
"""Each test of an attack fails once: against a build in which the defence is broken on purpose.

A mutant is a patch in tests/mutants. Its first lines say what it breaks; then, one or more times,

    Test: SCRIPT NAME

the test that must fail with it (and passes without it). A patch that does not apply any more, or a
test that passes all the same, is a failure here: the mutant is renewed, or the test is.

MUTANTS=NAME,...  only these
"""
# timeout: 3000

import os
import shutil
import subprocess
import sys

REPO = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ARCH = {"aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
TREE = os.path.join(REPO, "build", "mutants", "tree")
MUTANTS = os.path.join(REPO, "tests", "mutants")


def run(*command, **options):
    return subprocess.run(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )


def make_tree():
    """The sources, with the objects that are there: only what a mutant changes is compiled."""
    shutil.rmtree(TREE, ignore_errors=True)
    os.makedirs(os.path.join(TREE, "build"))
    for name in ("Makefile", "applets", "lib", "proto", "arch", "tests", "images", "initramfs"):
        if os.path.exists(os.path.join(REPO, name)):
            run("cp", "-a", os.path.join(REPO, name), TREE, check=True)
    for name in ("src", "gen", "dl"):
        os.symlink(os.path.join(REPO, "build", name), os.path.join(TREE, "build", name))
    for name in (ARCH, "packages-" + ARCH):
        run("cp", "-a", os.path.join(REPO, "build", name), os.path.join(TREE, "build"), check=True)


def build():
    done = run("make", "-C", TREE, "ARCH=" + ARCH)
    return None if done.returncode == 0 else done.stdout[-600:]


def outcome(script, name):
    """'ok', 'not ok', 'skip' or None: what the test said."""
    env = dict(os.environ, CRIBOX=os.path.join(TREE, "build", ARCH, "cribox"))
    done = run("/usr/bin/python3", os.path.join(REPO, script), env=env, timeout=600)
    for line in done.stdout.splitlines():
        for word in ("not ok", "ok", "skip"):
            if line.startswith("%s %s" % (word, name)):
                rest = line[len(word) + 1 + len(name) :]
                if not rest or rest[0] in ": ":
                    return word
    return None


def tests_of(patch):
    found = []
    for line in open(patch):
        if line.startswith("--- "):
            break
        if line.startswith("Test: "):
            found.append(line.split()[1:3])
    return found


def one(patch):
    """None, or what is wrong."""
    tests = tests_of(patch)
    if not tests:
        return "names no test"
    done = run("patch", "-p1", "--no-backup-if-mismatch", "-d", TREE, "-i", patch)
    try:
        if done.returncode != 0:
            return "does not apply: " + done.stdout.strip()[-300:]
        why = build()
        if why:
            return "does not build: " + why
        for script, name in tests:
            said = outcome(script, name)
            if said == "skip":
                return "%s %s is skipped here" % (script, name)
            if said != "not ok":
                return "%s %s: %s" % (script, name, said or "there is no such test")
        return None
    finally:
        run("patch", "-p1", "-R", "--no-backup-if-mismatch", "-d", TREE, "-i", patch)


def main():
    if os.geteuid() != 0:
        print("skip mutants: needs root")
        return 0
    only = os.environ.get("MUTANTS", "").split(",")
    patches = [p for p in sorted(os.listdir(MUTANTS)) if p.endswith(".patch")]
    patches = [p for p in patches if only == [""] or p[:-6] in only]
    make_tree()
    why = build()
    if why:
        print("not ok mutants: the tree does not build as it is: " + why)
        return 1
    bad = 0
    for p in patches:
        name, wrong = p[:-6], one(os.path.join(MUTANTS, p))
        bad += wrong is not None
        print("not ok mutant_%s: %s" % (name, wrong) if wrong else "ok mutant_%s" % name, flush=True)
    shutil.rmtree(TREE, ignore_errors=True)
    return 1 if bad else 0


sys.exit(main())
