#!/bin/sh
# apt-private.sh: for scripts to source. apt with lists of its own: the archives are those of this
# machine's configuration, its lists, packages and sources stay as they are.

# private_apt TYPE DIR SUITES ARCH [APT_OPTION]...: DIR (absolute) holds configuration and lists;
# TYPE is deb or deb-src, ARCH Debian's name of an architecture. Sets APT_CONFIG, gets the lists.
private_apt()
{
	apt_type=$1 apt_dir=$2 apt_suites=$3 apt_arch=$4
	[ "$(id -u)" = 0 ] || echo "apt-private: not root: apt may refuse" >&2
	mkdir -p "$apt_dir/lists/partial" "$apt_dir/archives/partial"
	: >"$apt_dir/status"
	: >"$apt_dir/private.sources"
	# shellcheck disable=SC2016 # an apt format, not a shell variable
	for apt_base in $(env -u APT_CONFIG apt-get indextargets --no-release-info \
		--format '$(REPO_URI)' 'Created-By: Packages' | sort -u | grep -v security); do
		cat >>"$apt_dir/private.sources" <<-END
			Types: $apt_type
			URIs: $apt_base
			Suites: $apt_suites
			Components: main
			Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg

		END
	done
	cat >"$apt_dir/apt.conf" <<-END
		APT::Architecture "$apt_arch";
		APT::Architectures { "$apt_arch"; };
		Dir::State "$apt_dir";
		Dir::State::Lists "$apt_dir/lists";
		Dir::State::status "$apt_dir/status";
		Dir::Cache "$apt_dir";
		Dir::Etc::SourceList "$apt_dir/private.sources";
		Dir::Etc::SourceParts "/dev/null";
		Acquire::Languages "none";
		APT::Sandbox::User "root";
	END
	export APT_CONFIG="$apt_dir/apt.conf"
	apt-get -q update
}
