# What `colcon test` runs: the quick tests, and ament's linters of what `make lint` does not check. Each is left out where
# its package is not installed, so that the package builds without its test dependencies.

find_package(ament_cmake_pytest QUIET)
if(ament_cmake_pytest_FOUND)
  # The whole suite trains networks and takes many minutes: `make test`.
  ament_add_pytest_test(quick test
    TIMEOUT 1200
    WORKING_DIRECTORY "${CMAKE_CURRENT_SOURCE_DIR}"
    ENV PYTEST_DISABLE_PLUGIN_AUTOLOAD=1 "PYTEST_ADDOPTS=-m 'not slow'")
endif()

find_package(ament_cmake_lint_cmake QUIET)
if(ament_cmake_lint_cmake_FOUND)
  ament_lint_cmake("${CMAKE_CURRENT_SOURCE_DIR}/CMakeLists.txt" "${CMAKE_CURRENT_SOURCE_DIR}/cmake")
endif()

find_package(ament_cmake_xmllint QUIET)
if(ament_cmake_xmllint_FOUND)
  ament_xmllint("${CMAKE_CURRENT_SOURCE_DIR}/package.xml" "${CMAKE_CURRENT_SOURCE_DIR}/config")
endif()

# Quotes, the order of imports and docstrings follow ruff's settings in pyproject.toml.
set(python_code usdrl_ros launch examples bench training tools)
find_package(ament_cmake_flake8 QUIET)
if(ament_cmake_flake8_FOUND)
  ament_flake8(${python_code} CONFIG_FILE "${CMAKE_CURRENT_SOURCE_DIR}/cmake/flake8.ini")
endif()

find_package(ament_cmake_pep257 QUIET)
if(ament_cmake_pep257_FOUND)
  ament_pep257(${python_code} --convention google
    --add-ignore D100 D101 D102 D103 D104 D105 D106 D107 D300 D301 D402 D403 D417)
endif()
