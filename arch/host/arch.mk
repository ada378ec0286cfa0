# Not a fifth architecture: the code of the machine that builds, against its glibc and under
# ASan and UBSan, for unit tests and fuzz replays. Includes the real one for its flags.
include arch/$(HOST)/arch.mk
SANITIZE = -fsanitize=address
SANITIZE_OURS = -fsanitize=address,undefined -fno-sanitize-recover=all
